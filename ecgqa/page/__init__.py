"""The screen: what lies before a session, what it shows, and the only rooms that know gradio."""

import os

# Both must be said before gradio is imported: nothing is looked up on the network while serving.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
