// A small model behind OpenAI's protocol: `node server.mjs MODEL.gguf`. It honours `grammar`, as llama.cpp's own server
// does, and prints its port when it listens.
import http from "node:http";
import {getLlama, LlamaCompletion} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
const context = await model.createContext({contextSize: 4096});
const sequence = context.getSequence();
const completion = new LlamaCompletion({contextSequence: sequence});
let busy = Promise.resolve();

/** ChatML, in which the model was trained. */
function promptOf(messages) {
    const turns = messages.map(({role, content}) => `<|im_start|>${role}\n${textOf(content)}<|im_end|>\n`);
    return model.tokenize(turns.join("") + "<|im_start|>assistant\n", true);
}

function textOf(content) {
    return typeof content === "string" ? content : content.map((block) => block.text).join("");
}

async function complete(request, write) {
    const grammar = request.grammar && await llama.createGrammar({grammar: request.grammar});
    await sequence.clearHistory();
    await completion.generateCompletion(promptOf(request.messages), {
        grammar,
        maxTokens: request.max_tokens ?? 200,
        temperature: request.temperature ?? 0,
        customStopTriggers: ["<|im_end|>"],
        onTextChunk: write,
    });
}

function chunk(delta, finish_reason = null) {
    const choices = [{index: 0, delta, finish_reason}];
    return `data: ${JSON.stringify({id: "1", object: "chat.completion.chunk", created: 0, model: "small", choices})}\n\n`;
}

async function answer(incoming, outgoing) {
    let body = "";
    for await (const piece of incoming) body += piece;
    outgoing.writeHead(200, {"Content-Type": "text/event-stream"});
    // One sequence, one question at a time.
    busy = busy.then(() => complete(JSON.parse(body), (content) => outgoing.write(chunk({role: "assistant", content}))));
    try {
        await busy;
        outgoing.end(chunk({}, "stop") + "data: [DONE]\n\n");
    } catch (error) {
        busy = Promise.resolve();
        outgoing.end(`data: ${JSON.stringify({error: {message: String(error)}})}\n\n`);
    }
}

const server = http.createServer(answer);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
