// A chat UI without a screen: `node chat.mjs URL ASSISTANT QUESTION`. It asks with the hook that chat UIs are made with,
// and prints all of its messages whenever they change, a line of JSON each time: {"at": seconds, "messages": […]}.

import { useStream } from "@langchain/langgraph-sdk/react";
import { createElement, useEffect } from "react";
import { create } from "react-test-renderer";

console.error = () => {}; // the renderer says that it is deprecated

const [apiUrl, assistantId, question] = process.argv.slice(2);
const begun = performance.now();
let last = "";

function print(messages) {
  const shown = messages.map(({ id, type, content, tool_calls = [], tool_call_id }) => ({
    id,
    type,
    text: typeof content === "string" ? content : content.map((block) => block.text ?? "").join(""),
    calls: tool_calls.map((call) => [call.id, call.name, call.args]),
    of: tool_call_id,
  }));
  const line = JSON.stringify(shown);
  if (line !== last) console.log(JSON.stringify({ at: (performance.now() - begun) / 1000, messages: shown }));
  last = line;
}

function fail(error) {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}

function Chat() {
  const chat = useStream({ apiUrl, assistantId, throttle: false, onError: fail });
  useEffect(() => {
    chat.submit({ messages: [{ type: "human", content: question }] }).then(() => setTimeout(process.exit, 500));
  }, []);
  print(chat.messages);
  return null;
}

create(createElement(Chat));
