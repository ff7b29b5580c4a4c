"""The default agent: the tools of `tools.TOOLS`, and the offline model where no other is set."""

from agent import PROVIDERS, create_llm_compiler
from graphs.offline import OfflineChatModel
from tools import TOOLS

PROVIDERS["offline"] = lambda _: OfflineChatModel()

EXAMPLES = """\
Question: How many times taller is the Eiffel Tower than Big Ben?
1. search("Eiffel Tower")
2. search("Big Ben")
3. math("height of the Eiffel Tower / height of Big Ben, both in metres", context=["$1", "$2"])
4. join()

Question: If a cheetah ran 20% slower and a horse 30% faster, which would be faster?
1. search("cheetah")
2. search("horse")
3. math("top speed of the cheetah in km/h * 0.8", context=["$1"])
4. math("top speed of the horse in km/h * 1.3", context=["$2"])
5. join()
"""
"""What the planner is shown: `search` gives text, which `math` takes as context, with the unit that is wanted."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES)
