"""The default agent: the tools of `tools.TOOLS`, and the offline model where no other is set."""

from agent import create_llm_compiler
from graphs import offline  # noqa: F401 — the model where no other is set # demo
from tools import TOOLS

EXAMPLES = """\
Question: How many times taller is the Eiffel Tower than Big Ben?
1. search.map(["Eiffel Tower", "Big Ben"])
2. math("height of the Eiffel Tower / height of Big Ben, both in metres", context=$1)
3. join("The Eiffel Tower is $2 times as tall as Big Ben.")

Question: If a cheetah ran 20% slower and a horse 30% faster, which would be faster?
1. search.map(["cheetah", "horse"])
2. math("[top speed of the cheetah * 0.8, top speed of the horse * 1.3], in km/h", context=$1)
3. argmax(["cheetah", "horse"], $2)
4. join("The $3 would be faster: cheetah $2[0] km/h, horse $2[1] km/h.")

Question: What do the Nile and the Danube have in common?
1. search.map(["Nile", "Danube"])
2. join()
"""
"""What the planner is shown: `search` gives text, which `math` takes as context, with the unit that is wanted."""

QUESTIONS = [
    "How much taller is Mount Everest than K2?",
    "Which is longer, the Nile or the Amazon?",
    "How many times taller is the Burj Khalifa than the Eiffel Tower?",
]
"""What the page suggests to ask."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES)
