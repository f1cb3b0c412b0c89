"""From raw videos to clips that are worth training on: plan -> score -> decide -> export.

Everything lives in one work folder, so any step can be stopped and called again: ``plan.jsonl`` (the videos),
``clips/`` (what each video falls into, and where its faces are), ``scores/`` (one JSON file a clip), ``problems/``
(videos that could not be used), ``decisions.jsonl`` and ``decisions.yaml``, ``report.html``.
"""
