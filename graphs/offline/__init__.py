"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network.

It knows words, numbers and units (`words.json`) and what its prompts say, but no questions. A question goes through
`prompt`, which takes apart what the model is asked, `question` or `arithmetic`, which read it, and `plan`, which finds
the calls and the answer's words; `model` speaks them. `figures` solves what the math tool asks. Examples add rules of
their own (`model.RULES`).
"""

from agent import PROVIDERS
from graphs.offline.model import OfflineChatModel

PROVIDERS["offline"] = lambda _: OfflineChatModel()
