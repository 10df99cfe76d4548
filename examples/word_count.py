"""Agents in Python: a coroutine, and a plain function that the server runs in a thread.

Start the server with this module, then make an agent of each type, and run it:

    AGENT_MODULES=examples.word_count make run
    curl localhost:5000/api/agents -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
        -d '{"id": "words", "name": "Word count", "agentType": "WORD_COUNT", "configuration": {"folder": "docs"}}'
    curl -X POST localhost:5000/api/agents/words/run -H "Authorization: Bearer $TOKEN"

A module of your own may lie anywhere on PYTHONPATH.
"""

import asyncio
from collections import Counter
from pathlib import Path

from scheduler.runners import Run, ThreadRun, agent


@agent("WORD_COUNT")
async def count_words(run: Run) -> str:
    """Count the words in the texts of a folder. A stop cancels it at the next ``await``."""
    folder = Path(str(run.configuration["folder"]))
    texts = await asyncio.to_thread(lambda: sorted(folder.rglob("*.md")))
    if not texts:
        raise FileNotFoundError(f"There are no texts in {folder}")  # the run fails, and says why
    words: Counter[str] = Counter()
    for number, text in enumerate(texts, start=1):
        words.update((await asyncio.to_thread(text.read_text)).lower().split())
        await run.progress(100 * number / len(texts), text.name, step=number, of=len(texts))
    await run.log("info", "The most frequent: " + ", ".join(word for word, _ in words.most_common(5)))
    run.metrics["texts"] = len(texts)
    return f"{words.total()} words in {len(texts)} texts"


@agent("LINE_COUNT")
def count_lines(run: ThreadRun) -> str:
    """The same for lines, as a plain function: it may block, and calls ``run`` without ``await``."""
    folder = Path(str(run.configuration["folder"]))
    lines = 0
    for text in sorted(folder.rglob("*.md")):
        lines += len(text.read_text().splitlines())
        run.log("info", f"{text.name} is done")
    return f"{lines} lines"
