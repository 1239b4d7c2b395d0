'use strict'
// What other sites, and names that come from elsewhere, try with the owner's browser.
const http = require('node:http')
const { Tab, check, ok } = require('./browser.js')

// forge lets other sites send forms in the browser of an owner who has signed in: one at another port of the same host,
// to which the browser sends even SameSite=Strict cookies, and one at another host. None changes anything.
async function forge(browser, owner, key, call) {
	const target = owner.origin
	const pages = {
		'/disable': form(`${target}/disable`, { key }),
		'/disable-with-token': form(`${target}/disable`, { key, token: 'x'.repeat(43) }),
		'/delete': form(`${target}/delete-key`, { key, sure: 'yes' }),
		'/sign-in': form(`${target}/sign-in`, { link: 'x'.repeat(43) }),
		'/sign-out': form(`${target}/sign-out`, {}),
		'/plain': form(`${target}/disable`, { key }, 'text/plain'),
		'/frame': `<iframe src="${target}/"></iframe>`,
	}
	const server = http.createServer((r, w) => {
		w.writeHead(pages[r.url] ? 200 : 404, { 'content-type': 'text/html' })
		w.end(pages[r.url])
	}).listen(0, '127.0.0.1')
	await new Promise((then) => server.once('listening', then))
	const { port } = server.address()
	try {
		for (const site of [`http://127.0.0.1:${port}`, `http://localhost:${port}`]) {
			for (const name of Object.keys(pages)) {
				const tab = await owner.context.newPage() // with the owner's cookie
				const answers = []
				tab.on('response', (r) => { if (r.url().startsWith(target)) answers.push(r.status()) })
				await tab.goto(site + name, { waitUntil: 'load' })
				if (name === '/frame') {
					const shown = await tab.frames()[1]?.evaluate(() => document.body.innerText).catch(() => '')
					ok(`${site}${name} shows nothing of the page: ${shown}`, !/Signed in|API key|Overview/.test(shown ?? ''))
				} else {
					for (let i = 0; i < 2400 && !answers.length; i++) await new Promise((then) => setTimeout(then, 25))
					check(`${site}${name} is refused`, answers[0], 403)
				}
				await tab.close()
				check(`the key after ${site}${name}`, await call(), 200)
			}
		}
	} finally {
		server.close()
	}
	await owner.go('/disable', 405) // a link changes nothing
	await owner.go('/')
	await owner.shows('Signed in as owner')
}

// form is a page that sends a form as soon as it is opened.
function form(action, fields, type = 'application/x-www-form-urlencoded') {
	const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`)
	return `<form method="post" action="${action}" enctype="${type}">${inputs.join('')}</form><script>document.forms[0].submit()</script>`
}

const texts = [
	'<svg onload=hit=1>', '"><img src=x onerror=hit=1>', "' autofocus onfocus='hit=1", '</script><script>hit=1</script>',
	'</title></style></textarea><script>hit=1</script>', '{{.Token}}', 'javascript:hit=1', '&lt;b&gt;bold<b>', '\u202egnp.exe', '=1+1',
]

// inject writes markup into every text that the page shows, and looks at every page that shows it.
async function inject(owner) {
	for (const [i, text] of texts.entries()) {
		await owner.go('/new-plan')
		await owner.submit('new-plan', { name: text, description: text, rate: '5', burst: '5', limit: '100', period: ['DAY', 'WEEK', 'MONTH'][i % 3], stage: 'airline-loyalty:Prod' })
		await owner.clean('plan, ' + text)
		const plan = new URL(owner.page.url()).searchParams.get('plan')
		await owner.go('/new-key')
		await owner.clean('new key, ' + text)
		await owner.submit('new-key', { name: text, customer: text, description: text, plan, enabled: true })
		await owner.clean('value, ' + text)
		const key = await owner.page.$eval('a.button[href^="key?"]', (a) => new URL(a.href).searchParams.get('key'))
		await owner.go('/key?key=' + key)
		await owner.submit('extend', { units: '1', reason: text })
		await owner.clean('key, ' + text)
		await owner.submit('extend', { units: text, reason: text }, 400)
		await owner.clean('key with a mistake, ' + text)
		await owner.go('/plan?plan=' + plan)
		await owner.clean('plan with a member, ' + text)
		for (const parameter of ['key', 'plan']) {
			await owner.go(`/${parameter}?${parameter}=` + encodeURIComponent(text), 404)
			await owner.clean(`${parameter} of the address, ${text}`)
		}
	}
	await owner.go('/')
	await owner.clean('overview')
	for (const text of texts) await owner.shows(text)
	await owner.inspect('overview-injected')
}

module.exports = { forge, inject }
