"""Files from others run no code. Pickles are tested in `backbones_test`, names in `report_test`."""

import keras
import pytest
from keras import layers

from rra_keras.run import Run


def test_a_model_file_with_code_is_refused(tmp_path):
    image = keras.Input((4, 4, 3))
    victim = tmp_path / "victim"
    code = layers.Lambda(
        lambda x, path: __import__("os").makedirs(path, exist_ok=True) or x,
        output_shape=(4, 4, 3),
        arguments={"path": str(victim)},
    )
    keras.Model(image, code(image)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="unsafe"):
        Run(tmp_path).load_model()
    assert not victim.exists()
    keras.models.load_model(tmp_path / "model.keras", safe_mode=False)(keras.ops.ones((1, 4, 4, 3)))
    assert victim.exists()  # that is what a trusting reader does
