from fractions import Fraction

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows, expression_vector


def test_a_motion_checks_itself():
    motion = RigMotion.still(3, 25)
    assert len(motion) == 3 and motion.pose.dtype == np.float32 and motion.fps == Fraction(25)
    with pytest.raises(ConfigError, match="pose"):
        RigMotion(Fraction(25), np.zeros((3, 5)), motion.expression, motion.gaze)
    with pytest.raises(ConfigError, match="gaze"):
        RigMotion(Fraction(25), motion.pose, motion.expression, motion.gaze[:2])
    with pytest.raises(ConfigError, match="finite"):
        RigMotion(Fraction(25), motion.pose * np.nan, motion.expression, motion.gaze)
    with pytest.raises(ConfigError, match="positive"):
        RigMotion.still(1, 0)


def test_a_range_and_a_joint_give_back_the_frames():
    frames = np.arange(5, dtype=np.float32)
    motion = RigMotion(25, frames[:, None].repeat(6, 1), np.zeros((5, len(EXPRESSION_NAMES))), np.zeros((5, 2)))
    assert motion[1:3].pose[:, 0].tolist() == [1, 2]
    again = RigMotion.joined([motion[:2], motion[2:]])
    assert (again.pose == motion.pose).all() and len(again) == 5
    with pytest.raises(ConfigError, match="rate"):
        RigMotion.joined([motion, RigMotion.still(1, 30)])


def test_names_of_pairs_set_both_sides():
    assert len(EXPRESSION_NAMES) == len(set(EXPRESSION_NAMES)) == 55
    vector = expression_vector({"mouthSmile": 0.5, "jawOpen": 0.2})
    assert {EXPRESSION_NAMES[i] for i in np.flatnonzero(vector)} == {"mouthSmile_L", "mouthSmile_R", "jawOpen"}
    assert len(expression_rows("eyeBlink_L")) == 1
    with pytest.raises(ConfigError, match="smile"):
        expression_vector({"smile": 1})
