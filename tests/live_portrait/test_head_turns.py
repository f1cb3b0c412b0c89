"""The arithmetic of tools/measure_head_turns.py on turns that are known."""

from __future__ import annotations

import measure_head_turns as tool
import numpy as np

from vivant.perception.pose import euler_rotation

NOD, NONE = np.array([0.0, 4.0, 8.0]), np.zeros(3)


def test_turns_are_told_in_the_heads_own_axes_whatever_its_first_pose() -> None:
    start = euler_rotation(np.array(10.0), np.array(-20.0), np.array(5.0))
    seen = tool.turns(euler_rotation(NOD, NONE, NONE) @ start)
    assert np.allclose(seen, [[4, 0, 0], [8, 0, 0]])


def test_the_table_finds_a_nod_that_is_half_as_large() -> None:
    driver, half = (tool.turns(euler_rotation(share * NOD, NONE, NONE)) for share in (1.0, 0.5))
    other = np.array([[0.0, 4.0, 2.0], [0.0, 8.0, 4.0]])
    case = {
        "tracker, driver": driver + other,
        "read, driver": half + other,
        "tracker, result": other,
        "read, result": other,
    }
    assert np.isclose(tool.gains(driver + other, half + other)[0], 0.5)
    assert np.isclose(tool.angle(driver, half), 3.0)
    row = next(line for line in tool.table([case]).splitlines() if line.startswith("| tracker, driver | read, driver"))
    assert "| 0.50, 1.00, 1.00 |" in row and row.endswith("| -3.00, 0.00, 0.00 |")
