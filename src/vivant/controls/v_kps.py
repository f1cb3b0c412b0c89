"""V-Kps of V-Express: from landmarks, drawn, and carried to another face (the code lives in ``nn``: methods use it)."""

from vivant.nn.v_kps import STRATEGIES, draw_v_kps, draw_v_kps_smooth, draw_v_kps_whole, face_points, retarget

__all__ = ["STRATEGIES", "draw_v_kps", "draw_v_kps_smooth", "draw_v_kps_whole", "face_points", "retarget"]
