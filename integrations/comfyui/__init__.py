"""Vivant in ComfyUI: this folder belongs into ``ComfyUI/custom_nodes``, and vivant into ComfyUI's Python."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
