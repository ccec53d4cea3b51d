import numpy as np

from models.physics.status import classify


def classes_of(invalid=False, **fractions):
    masks = classify(
        np.array([[invalid]]), {k: np.array([[v]], np.float32) for k, v in fractions.items()}
    )
    return [name for name, mask in masks.items() if mask[0, 0]]


def test_the_first_class_that_fills_half_the_pixel_holds():
    assert classes_of(cloud=0.5, snow=0.5, shadow=1) == ["cloud"]
    assert classes_of(cloud=0.49, snow=0.5, shadow=0.9) == ["snow"]
    assert classes_of(cloud=0.49, snow=0.1, shadow=0.5) == ["shadow"]
    assert classes_of(cloud=0.49, snow=0.49, shadow=0.49) == []


def test_nothing_known_is_undefined_never_clear():
    assert classes_of() == ["undefined"]
    assert classes_of(cloud=np.nan) == ["undefined"]
    assert classes_of(snow=0.2) == ["undefined"]
    assert classes_of(cloud=np.nan, snow=0.9) == ["snow"]


def test_invalid_pixels_have_no_class():
    assert classes_of(invalid=True, cloud=1, snow=1) == ["undefined"]
