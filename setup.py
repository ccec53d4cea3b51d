"""Maps folders to import packages: `io/scenes` is `scenes`, `checkpoints` is in `models`."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["pipelines*", "models*"]),
        *find_packages("io"),
        "models.checkpoints",
    ],
    package_dir={"scenes": "io/scenes", "models.checkpoints": "checkpoints"},
    package_data={
        "": ["py.typed"],
        "scenes": ["*.toml"],
        "pipelines.report": ["*.toml", "templates/*"],
        "scenes.sources": ["*.toml"],
        "models.checkpoints": ["*.toml", "*.json", "*.h5", "*.npz", "*.md"],
    },
)
