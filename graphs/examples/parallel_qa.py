"""ParallelQA (section 5.2 of the paper): questions whose figures are looked up at once, and then worked with.

It is an agent with the tools of `tools`, and examples of the shapes that such plans have.
"""

from agent import create_llm_compiler
from graphs import offline  # noqa: F401 — the model where no other is set # demo
from tools import TOOLS

EXAMPLES = """\
Question: If Lake Superior lost 15% of its area and Lake Victoria gained 20%, which would be larger?
1. search.map(["Lake Superior", "Lake Victoria"])
2. math("[area of Lake Superior * 0.85, area of Lake Victoria * 1.2], in square kilometres", context=$1)
3. argmax(["Lake Superior", "Lake Victoria"], $2)
4. join("$3 would be larger.")

Question: What is the ratio of the longest to the shortest of the Rhine, the Loire and the Elbe?
1. search.map(["Rhine", "Loire", "Elbe"])
2. math("longest / shortest of the Rhine, the Loire and the Elbe, all in km", context=$1)
3. join("The ratio is $2.")

Question: If Norway and Sweden were one country, how many people would live on a square kilometre of it?
1. search.map(["Norway", "Sweden"])
2. math("(population of Norway + population of Sweden) / (area of Norway + area of Sweden in square kilometres)", \
context=$1)
3. join("$2 people to a square kilometre.")
"""
"""Changed figures to choose from, a ratio of extremes, a sum over a sum; each a single call of the model that `math`
asks, which sees all figures and so can take them by one definition."""

QUESTIONS = [
    "How much taller is Mount Everest than K2?",
    "If the height of K2 is reduced by 10% and Mount Elbert grows by 50%, which one would be higher?",
    "What is the ratio of the longest to the shortest of the Rhine, the Loire and the Elbe?",
]
"""What the page suggests to ask."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="parallel_qa")
