// A chat UI without a screen: `node chat.mjs URL ASSISTANT STEP…`. It asks with the hook that chat UIs are made with: a
// step is a question, or a JSON object that answers an interrupt. Whenever they change, it prints its messages and the
// interrupt, a line of JSON each time: {"at": seconds, "messages": […], "interrupt": …}.

import { useStream } from "@langchain/langgraph-sdk/react";
import { createElement, useEffect, useState } from "react";
import { create } from "react-test-renderer";

console.error = () => {}; // the renderer says that it is deprecated

const [apiUrl, assistantId, ...steps] = process.argv.slice(2);
const begun = performance.now();
let last = "";

function print({ messages, interrupt }) {
  const shown = messages.map(({ id, type, content, tool_calls = [], tool_call_id }) => ({
    id,
    type,
    text: typeof content === "string" ? content : content.map((block) => block.text ?? "").join(""),
    calls: tool_calls.map((call) => [call.id, call.name, call.args]),
    of: tool_call_id,
  }));
  const seen = { messages: shown, interrupt: interrupt?.value };
  const line = JSON.stringify(seen);
  if (line !== last) console.log(JSON.stringify({ at: (performance.now() - begun) / 1000, ...seen }));
  last = line;
}

function fail(error) {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}

function take(chat, step) {
  if (step.startsWith("{")) return chat.submit(undefined, { command: { resume: JSON.parse(step) } });
  return chat.submit({ messages: [{ type: "human", content: step }] });
}

function Chat() {
  const chat = useStream({ apiUrl, assistantId, throttle: false, onError: fail });
  const [taken, setTaken] = useState(0);
  useEffect(() => {
    if (taken === steps.length) setTimeout(process.exit, 500);
    else take(chat, steps[taken]).then(() => setTaken(taken + 1));
  }, [taken]);
  print(chat);
  return null;
}

create(createElement(Chat));
