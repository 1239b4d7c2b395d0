'use strict'
// The calls of run. Each part has a gateway of its own, with a budget of its own.
const assert = require('node:assert/strict')
const { execFile, spawn } = require('node:child_process')
const http = require('node:http')
const path = require('node:path')
const { once } = require('node:events')
const readline = require('node:readline')
const { promisify } = require('node:util')
const OpenAI = require('openai')

const { SCRATCH } = process.env
const secret = 'sk-of-the-operator'
const messages = [{ role: 'user', content: 'Say this is a test' }]
let checks = 0
function check(what, got, want) {
	assert.deepEqual(got, want, what)
	checks++
}

// upstream plays the API: answers of 12 tokens, and streams of as many tokens as seed says.
const gone = []
const upstream = http.createServer(async (req, res) => {
	let text = ''
	for await (const part of req) text += part
	const asked = JSON.parse(text)
	check('the key that the upstream gets', req.headers.authorization, `Bearer ${secret}`)
	const base = { id: 'chatcmpl-1', created: 1700000000, model: asked.model }
	const usage = { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 }
	if (!asked.stream) {
		res.setHeader('Content-Type', 'application/json')
		const message = { role: 'assistant', content: 'This is a test' }
		res.end(JSON.stringify({ ...base, object: 'chat.completion', choices: [{ index: 0, message, finish_reason: 'stop' }], usage }))
		return
	}
	res.setHeader('Content-Type', 'text/event-stream')
	const say = (choices, usage = null) => res.write(`data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices, usage })}\n\n`)
	const closed = once(res, 'close').then(() => gone.push(asked.user))
	say([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }])
	for (let i = 0; i < asked.seed && !res.destroyed; i++) {
		if (!say([{ index: 0, delta: { content: 'tok ' }, finish_reason: null }])) {
			await Promise.race([new Promise((drained) => res.once('drain', drained)), closed])
		}
	}
	if (asked.user === 'hangs') return
	if (asked.user === 'dies') return res.socket.end() // what was written still arrives
	say([{ index: 0, delta: {}, finish_reason: 'stop' }])
	say([], { prompt_tokens: 9, completion_tokens: asked.seed, total_tokens: 9 + asked.seed })
	res.end('data: [DONE]\n\n')
})

// withGateway starts a gateway with a budget of tokens, and stops it after f.
async function withGateway(budget, f) {
	const gateway = spawn(path.join(SCRATCH, 'llm'), ['-addr', '127.0.0.1:0', '-data', path.join(SCRATCH, `data-${budget}`),
		'-budget', String(budget), '-upstream', `http://127.0.0.1:${upstream.address().port}`],
	{ env: { ...process.env, OPENAI_API_KEY: secret }, stdio: ['ignore', 'pipe', 'inherit'] })
	const ended = once(gateway, 'exit')
	try {
		const lines = readline.createInterface({ input: gateway.stdout })[Symbol.asyncIterator]()
		const baseURL = (await lines.next()).value.replace('Gateway on ', '')
		const apiKey = (await lines.next()).value.replace('Key ', '')
		await f(new OpenAI({ baseURL, apiKey }), baseURL, apiKey)
		gateway.kill('SIGINT')
		check('the gateway ends', (await ended)[0], 0)
	} finally {
		gateway.kill('SIGKILL')
	}
}

// raised returns the error that a promise ends with.
async function raised(kind, promise) {
	try {
		await promise
	} catch (err) {
		assert(err instanceof kind, `${err?.constructor?.name} is no ${kind.name}: ${err}`)
		checks++
		return err
	}
	assert.fail(`no ${kind.name}`)
}

// read reads a stream to its end and returns its text and the usage that it has told.
async function read(stream) {
	let text = '', usage = null
	for await (const chunk of stream) {
		text += chunk.choices[0]?.delta?.content ?? ''
		usage ??= chunk.usage
	}
	return { text, usage }
}

async function answers(client) {
	const { data, response } = await client.chat.completions.create({ model: 'gpt-4o-mini', messages }).withResponse()
	check('the answer', data.choices[0].message.content, 'This is a test')
	check('what is left', response.headers.get('x-ratelimit-remaining-tokens'), '99979')
	check('the field RateLimit', /"quota-day";r=99979;t=\d+/.test(response.headers.get('ratelimit')), true)
	check('the unit', /qu="tokens"/.test(response.headers.get('ratelimit-policy')), true)
	const models = []
	for await (const model of client.models.list()) models.push(model.id)
	check('the models', models, ['gpt-4o', 'gpt-4o-mini'])
}

async function streams(client) {
	const ask = { model: 'gpt-4o-mini', messages, stream: true, seed: 500 }
	check('a stream', await read(await client.chat.completions.create(ask)), { text: 'tok '.repeat(500), usage: null })
	const { text, usage } = await read(await client.chat.completions.create({ ...ask, stream_options: { include_usage: true } }))
	check('its usage', [text.length, usage.total_tokens], [2000, 509])
	const whole = await client.chat.completions.stream({ ...ask, seed: 3 }).finalChatCompletion()
	check('the accumulated stream', whole.choices[0].message.content, 'tok tok tok ')
	check('what is left', await left(client), 100_000 - 21 - 509 - 509 - 12 - 21)
}

// left asks for an answer of 21 tokens, and returns what is left then.
async function left(client) {
	const { response } = await client.chat.completions.create({ model: 'gpt-4o-mini', messages }).withResponse()
	return Number(response.headers.get('x-ratelimit-remaining-tokens'))
}

async function leaves(client) {
	const before = await left(client)
	const ask = { model: 'gpt-4o-mini', messages, stream: true, seed: 7 }
	const prompt = Math.ceil(Buffer.byteLength(JSON.stringify({ ...ask, user: 'hangs' })) / 4)
	let n = 0
	const stream = await client.chat.completions.create({ ...ask, user: 'hangs' })
	for await (const chunk of stream) {
		if (chunk.choices[0].delta.content && ++n === 7) break // this ends the request
	}
	while (!gone.includes('hangs')) await new Promise((go) => setTimeout(go, 10))
	const err = await raised(OpenAI.APIError, (async () => read(await client.chat.completions.create({ ...ask, user: 'dies' })))())
	check('the upstream has died', [err.status, err.code], [undefined, 'upstream_error'])
	const died = Math.ceil(Buffer.byteLength(JSON.stringify({ ...ask, user: 'dies' })) / 4)
	check('what both have used', before - (await left(client)), prompt + 7 + died + 7 + 21)
}

async function cut(client) {
	const ask = { model: 'gpt-4o-mini', messages, stream: true, seed: 1_000_000 }
	const prompt = Math.ceil(Buffer.byteLength(JSON.stringify(ask)) / 4)
	let text = ''
	const err = await raised(OpenAI.APIError, (async () => {
		for await (const chunk of await client.chat.completions.create(ask)) text += chunk.choices[0].delta.content
	})())
	check('the stream is cut by', [err.status, err.type, err.code], [undefined, 'insufficient_quota', 'insufficient_quota'])
	check('to the token', text, 'tok '.repeat(1000 - prompt))
	const refused = await raised(OpenAI.RateLimitError, client.chat.completions.create({ model: 'gpt-4o-mini', messages }))
	check('the budget', [refused.status, refused.code, refused.headers.get('x-ratelimit-remaining-tokens')], [429, 'insufficient_quota', null])
	check('the field RateLimit', /"quota-day";r=0;/.test(refused.headers.get('ratelimit')), true)
	check('it does not try again', refused.headers.get('x-should-retry'), 'false')
}

async function refuses(client, baseURL) {
	const unknown = new OpenAI({ baseURL, apiKey: 'sk-00000000000000000000' })
	const err = await raised(OpenAI.AuthenticationError, unknown.chat.completions.create({ model: 'gpt-4o', messages }))
	check('an unknown key', [err.status, err.code, err.type], [401, 'invalid_api_key', 'invalid_request_error'])
	await raised(OpenAI.NotFoundError, client.chat.completions.create({ model: 'gpt-5', messages }))
	await raised(OpenAI.NotFoundError, client.embeddings.create({ model: 'gpt-4o', input: 'x' }))
	await raised(OpenAI.BadRequestError, client.chat.completions.create({ model: 'gpt-4o', messages, n: 0 }))
	const once = { maxRetries: 0 }
	const calls = Array.from({ length: 30 }, () => client.chat.completions.create({ model: 'gpt-4o', messages }, once))
	const limited = (await Promise.allSettled(calls)).find((call) => call.status === 'rejected').reason
	check('the throttle of one model', [limited instanceof OpenAI.RateLimitError, limited.code], [true, 'rate_limit_exceeded'])
	await client.chat.completions.create({ model: 'gpt-4o-mini', messages }, once)
	await client.chat.completions.create({ model: 'gpt-4o', messages }) // it waits as Retry-After says, and tries again
	checks += 2
}

async function curls(_, baseURL, apiKey) {
	const run = async (key, body) => {
		const { stdout } = await promisify(execFile)('curl', ['-qsN', '--max-time', '30', '-w', '%{http_code}',
			'-H', `Authorization: Bearer ${key}`, '-H', 'Content-Type: application/json', '-d', JSON.stringify(body), `${baseURL}/chat/completions`])
		return stdout
	}
	const events = (await run(apiKey, { model: 'gpt-4o-mini', messages, stream: true, seed: 2 })).split('\n\n')
	check('events by curl', [events.length, events.at(-2), events.at(-1)], [6, 'data: [DONE]', '200'])
	const lowered = await run(apiKey, { model: 'gpt-4o-mini', messages, max_tokens: 5 })
	check('an answer by curl', lowered.endsWith('200') && JSON.parse(lowered.slice(0, -3)).usage.total_tokens, 21)
	check('a wrong key by curl', (await run('sk-wrong', {})).slice(-3), '401')
}

async function main() {
	upstream.listen(0, '127.0.0.1')
	await once(upstream, 'listening')
	await withGateway(100_000, async (...all) => {
		await answers(...all)
		await streams(...all)
		await leaves(...all)
		await refuses(...all)
		await curls(...all)
	})
	await withGateway(1000, cut)
	upstream.close()
	console.log(`llm: ${checks} checks passed`)
}

main().catch((err) => {
	console.error('llm:', err)
	process.exit(1)
})
