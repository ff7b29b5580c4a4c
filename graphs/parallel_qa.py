"""ParallelQA (section 5.2 of the paper): questions whose figures are looked up at once, and then worked with.

It is the default agent with more examples: the shapes that such plans have.
"""

from agent import create_llm_compiler
from graphs import llm_compiler
from tools import TOOLS

EXAMPLES = f"""\
{llm_compiler.EXAMPLES}
Question: If Lake Superior lost 15% of its area and Lake Victoria gained 20%, how many square kilometres would lie \
between them?
1. search("Lake Superior")
2. search("Lake Victoria")
3. math("area of Lake Superior in square kilometres * 0.85", context=["$1"])
4. math("area of Lake Victoria in square kilometres * 1.2", context=["$2"])
5. math("$3 - $4")
6. join()

Question: What is the ratio of the longest to the shortest of the Rhine, the Loire and the Elbe?
1. search("Rhine")
2. search("Loire")
3. search("Elbe")
4. math("length of the Rhine in kilometres", context=["$1"])
5. math("length of the Loire in kilometres", context=["$2"])
6. math("length of the Elbe in kilometres", context=["$3"])
7. math("max($4, $5, $6) / min($4, $5, $6)")
8. join()

Question: If Norway and Sweden were one country, how many people would live on a square kilometre of it?
1. search("population of Norway")
2. search("population of Sweden")
3. search("area of Norway")
4. search("area of Sweden")
5. math("(population of Norway + population of Sweden) / (area of Norway + area of Sweden in square kilometres)", \
context=["$1", "$2", "$3", "$4"])
6. join()
"""
"""The default agent's two, and: a difference of changed figures, a ratio of extremes, a sum over a sum."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="parallel_qa")
