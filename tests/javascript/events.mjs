// The event stream of a run, version 3: `node events.mjs URL ASSISTANT QUESTION`. It prints each event, a line of JSON.

import { Client } from "@langchain/langgraph-sdk";

const [apiUrl, assistantId, question] = process.argv.slice(2);
const thread = new Client({ apiUrl }).threads.stream({ assistantId });
const events = await thread.subscribe({ channels: ["messages", "tools", "custom", "values", "lifecycle"] });
await thread.submitRun({ input: { messages: [{ type: "human", content: question }] } });
for await (const event of events) {
  console.log(JSON.stringify(event));
  if (event.method === "lifecycle" && event.params.namespace.length === 0 && event.params.data.event !== "running") {
    if (["completed", "failed", "interrupted"].includes(event.params.data.event)) break;
  }
}
process.exit(0);
