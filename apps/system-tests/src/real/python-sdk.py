"""Calls a gateway with the official OpenAI and Anthropic clients and prints what they understood, as one JSON object."""
import json
import os

import anthropic
import openai

url, key = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"]
model = "simulated/swift"
question = {"role": "user", "content": "Which trains go from Bern to Milan?"}
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
seen = {}

seen["models"] = [listed.id for listed in client.models.list()]

chat = client.chat.completions.create(model=model, messages=[question])
seen["chat"] = {"content": chat.choices[0].message.content, "finish": chat.choices[0].finish_reason, "total": chat.usage.total_tokens}

chunks = list(client.chat.completions.create(model=model, messages=[question], stream=True, stream_options={"include_usage": True}))
seen["stream"] = {
    "content": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
    "chunks": len(chunks),
    "finish": [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason],
    "total": chunks[-1].usage.total_tokens,
}

weather = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "How is the weather in Lugano?"}],
    tools=[{"type": "function", "function": {"name": "get_weather", "parameters": weather}}],
    tool_choice="required",
)
call = tools.choices[0].message.tool_calls[0].function
seen["tools"] = {"finish": tools.choices[0].finish_reason, "name": call.name, "arguments": json.loads(call.arguments)}

seen["embedding"] = len(client.embeddings.create(model=model, input="red apples").data[0].embedding)

try:
    openai.OpenAI(base_url=f"{url}/v1", api_key="sk-wrong", max_retries=0).chat.completions.create(model=model, messages=[question])
    seen["wrong_key"] = "accepted"
except openai.AuthenticationError as error:
    seen["wrong_key"] = error.status_code

claude = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
message = claude.messages.create(model=model, max_tokens=200, messages=[question])
seen["messages"] = {"text": message.content[0].text, "stop": message.stop_reason, "output": message.usage.output_tokens}

with claude.messages.stream(model=model, max_tokens=200, messages=[question]) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
seen["messages_stream"] = {"text": text, "stop": final.stop_reason}

asked = claude.messages.create(
    model=model, max_tokens=200, messages=[{"role": "user", "content": "How is the weather in Lugano?"}],
    tools=[{"name": "get_weather", "input_schema": weather}], tool_choice={"type": "any"},
)
use = next(block for block in asked.content if block.type == "tool_use")
seen["messages_tools"] = {"stop": asked.stop_reason, "name": use.name, "input": use.input}

print(json.dumps(seen))
