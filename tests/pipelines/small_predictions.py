"""Networks that remove clouds from tiny patches, of which it can be told what they find.

`lifted` and `plain` add 0.1 to the reflectance of each band; the first reads SAR, too. `random`
depends on all that it sees.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

LIFT = 0.1

_MAKE = """
import sys
from pathlib import Path
import keras
from models.networks.dsen2cr import build_dsen2cr
from models.weights.saving import save_weights
keras.utils.set_random_seed(3)
folder = Path(sys.argv[1])
for name, sar in (("lifted", 2), ("plain", 0)):
    model = build_dsen2cr(13, sar, blocks=1, features=4)
    tail = model.get_layer("dsen2cr_tail")
    kernel, bias = tail.get_weights()
    tail.set_weights([0 * kernel, bias + 5 * 0.1])
    save_weights(model, folder / f"{name}.weights.h5")
model = build_dsen2cr(13, 2, blocks=2, features=8, residual_scale=1.0)
tail = model.get_layer("dsen2cr_tail")
kernel, bias = tail.get_weights()
tail.set_weights([0.02 * kernel, bias])
save_weights(model, folder / "random.weights.h5")
"""

_TABLE = """[mine]
file = "mine.weights.h5"
sha256 = "{sha256}"
size = {size}
urls = []
architecture = "dsen2cr"
units = "reflectance and dB"
output = "reflectance"
licence = "MIT"
source = "a test"
doi = "none"
trained_on = "nothing"
accuracy = "none"
[mine.bands]
"Sentinel-2 and Sentinel-1" = [{bands}]
"""


def write_networks(folder: Path) -> Path:
    """Write the networks as `<name>.weights.h5`, in a process of its own: this one has no Keras."""
    paths = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, str(folder)],
        env=os.environ | {"KERAS_BACKEND": "openvino", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder


def training(folder: Path, weights: Path) -> Path:
    """Make a folder as a training leaves it, with these weights as `mine`."""
    folder.mkdir()
    content = weights.read_bytes()
    (folder / "mine.weights.h5").write_bytes(content)
    bands = ", ".join(f'"{number}"' for number in range(15))
    digest = hashlib.sha256(content).hexdigest()
    table = _TABLE.format(sha256=digest, size=len(content), bands=bands)
    (folder / "registry.toml").write_text(table)
    return folder
