'use strict'
// The way of an owner through the page; see run.
const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { launch, Tab, check, ok, count } = require('./browser.js')
const attack = require('./attack.js')

const { BASE, LINK } = process.env
const origin = new URL(LINK).origin
const customer = '/Prod/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c'

// call calls the API with a key by curl, which signs, and returns the status.
async function call(value) {
	const { stdout } = await promisify(execFile)('curl', ['-qs', '--max-time', '10', '-o', os.devNull, '-w', '%{http_code}',
		'--aws-sigv4', 'aws:amz:eu-west-1:execute-api', '--user', 'AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
		'-H', `x-api-key: ${value}`, BASE + customer])
	return Number(stdout)
}

// signIn opens the link as previews do, and then signs in. Another browser has opened it too, and comes too late.
async function signIn(browser) {
	const owner = await Tab.open(browser, origin)
	const late = await Tab.open(browser, origin)
	await owner.go('/', 403)
	await owner.shows('You are not signed in')
	await owner.inspect('stranger')
	for (const tab of [late, owner, owner]) await tab.go(LINK)
	check('a link that was only opened gives no cookie', await owner.cookies(), [])
	await owner.inspect('sign-in')
	await owner.submit('sign-in')
	await owner.shows('Signed in as owner')
	check('the link is not in the address', owner.page.url(), origin + '/')
	const [cookie, ...more] = await owner.cookies()
	check('one cookie', more, [])
	check('the cookie', [cookie.httpOnly, cookie.sameSite, cookie.session], [true, 'Strict', true])
	await late.submit('sign-in', {}, 403)
	await late.shows('This link was used already')
	check('a link that was used gives no cookie', await late.cookies(), [])
	await late.close()
	return owner
}

// keyOf returns the id of the key that a link on the page shows by this name.
async function keyOf(tab, name) {
	const href = await tab.page.$$eval('a[href^="key?"]', (all, name) => all.find((a) => a.innerText.trim() === name)?.getAttribute('href'), name)
	ok(`a link to ${name}`, href)
	return new URL(href, origin).searchParams.get('key')
}

async function planOf(tab, name) {
	const href = await tab.page.$$eval('a[href^="plan?"]', (all, name) => all.find((a) => a.innerText.trim() === name)?.getAttribute('href'), name)
	ok(`a link to ${name}`, href)
	return new URL(href, origin).searchParams.get('plan')
}

// tile returns the figure of a tile of the page, without the words after it.
async function tile(tab, name) {
	const tiles = await tab.page.$$eval('.tile', (all) => all.map((t) => t.innerText.split('\n').map((s) => s.trim()).filter(Boolean)))
	const found = tiles.find(([label]) => label.startsWith(name))
	ok(`a tile ${name} among ${JSON.stringify(tiles)}`, found)
	return found[1]
}

// tour looks at every kind of page, with the demo's keys: each period, used up, near its limit, disabled and idle.
async function tour(tab) {
	await tab.go('/')
	await tab.inspect('overview')
	await tab.focus('overview')
	const names = ['airline-checkin', 'hotel-nights', 'points-checker', 'miles-widget', 'student-project', 'old-blog', 'scraper']
	const keys = []
	for (const name of names) keys.push(await keyOf(tab, name))
	const plans = []
	for (const name of ['Free', 'Partner', 'Enterprise']) plans.push(await planOf(tab, name))
	for (const [i, key] of keys.entries()) {
		await tab.go('/key?key=' + key)
		await tab.inspect('key-' + names[i])
	}
	await tab.focus('key')
	await tab.go('/plan?plan=' + plans[0])
	await tab.inspect('plan')
	await tab.focus('plan')
	for (const plain of ['new-key', 'new-plan']) {
		await tab.go('/' + plain)
		await tab.inspect(plain)
		await tab.focus(plain)
	}
	await tab.go('/nowhere', 404)
	await tab.inspect('not-found')
}

// create makes a plan and a key in it, and returns the key and its value, which is shown once.
async function create(tab) {
	await tab.go('/new-plan')
	await tab.submit('new-plan', { name: 'Browsers', rate: '50', burst: '0x', limit: '10', period: 'DAY' }, 400)
	await tab.inspect('plan-with-a-mistake')
	await tab.submit('new-plan', { burst: '50', stage: 'airline-loyalty:Prod' })
	await tab.shows('Browsers')
	const plan = new URL(tab.page.url()).searchParams.get('plan')

	await tab.go('/new-key')
	await tab.submit('new-key', { name: 'browser', customer: 'c-1', plan, enabled: true })
	const value = await tab.page.$eval('#value', (f) => f.value)
	ok('a value of 40 characters', /^[0-9A-Za-z]{40}$/.test(value))
	const key = await tab.page.$eval('a.button[href^="key?"]', (a) => new URL(a.href).searchParams.get('key'))
	await tab.inspect('value')
	await tab.page.click('[data-copy]')
	await tab.page.reload({ waitUntil: 'load' })
	ok('the value is gone after a reload', !(await tab.page.content()).includes(value))
	await tab.shows('done already')
	await tab.go('/')
	check('a reload makes no second key', await tab.page.$$eval('a[href^="key?"]', (all) => all.filter((a) => a.innerText.trim() === 'browser').length), 1)
	return { plan, key, value }
}

// use calls the API, and sees what the page tells of it at once.
async function use(tab, { plan, key, value }) {
	const open = () => tab.go('/key?key=' + key)
	await open()
	check('used before the first call', await tile(tab, 'Used'), '0')
	for (const n of [1, 2, 3]) {
		check('a call', await call(value), 200)
		await open()
		check('used', await tile(tab, 'Used'), String(n))
		check('remaining', await tile(tab, 'Remaining'), String(10 - n))
	}
	await tab.submit('extend', { units: 'many', reason: 'launch' }, 400)
	await tab.submit('extend', { units: '5', reason: 'launch week' })
	check('remaining after an extension', await tile(tab, 'Remaining'), '12')
	await tab.shows('launch week')
	await tab.submit('set-remaining', { units: '1' })
	check('remaining as it was set', await tile(tab, 'Remaining'), '1')
	check('the last call', await call(value), 200)
	check('a call too many', await call(value), 429)
	await open()
	check('used up', await tile(tab, 'Remaining'), '0')
	await tab.submit('set-remaining', { units: '1000' })
	await tab.inspect('key-extended')

	await tab.submit('rotate', { grace: '1h' })
	const second = await tab.page.$eval('#value', (f) => f.value)
	ok('another value', second !== value)
	check('the old value within the grace', await call(value), 200)
	check('the new value', await call(second), 200)
	await tab.page.reload({ waitUntil: 'load' })
	await tab.shows('Nothing was changed')
	check('the new value after a reload', await call(second), 200)
	await open()
	await tab.submit('rotate', { grace: '0' })
	const third = await tab.page.$eval('#value', (f) => f.value)
	check('a value that was replaced at once', await call(second), 403)
	check('its successor', await call(third), 200)

	await open()
	await tab.submit('disable')
	await tab.inspect('key-disabled')
	check('a call with a disabled key', await call(third), 403)
	const undo = await tab.page.$('.notice form')
	ok('disabling can be undone', undo)
	await Promise.all([tab.page.waitForNavigation({ waitUntil: 'load' }), (await undo.$('button')).click()])
	check('a call after the undo', await call(third), 200)
	await open()
	await tab.submit('disable')
	await tab.submit('enable')
	check('a call with a key that was enabled', await call(third), 200)

	await tab.submit('limits', { rate: '', burst: '', DAY: '0' })
	check('a call under a limit of the key alone', await call(third), 200) // the extension is left
	await tab.submit('edit-key', { name: 'browser', customer: 'c-2', description: 'a key of a test' })
	await tab.shows('c-2')
	await tab.go('/plan?plan=' + plan)
	await tab.submit('set-method', { resource: '/loyalty/{customerId}', method: 'GET', rate: '0', burst: '0' })
	check('a method that is closed', await call(third), 429)
	await tab.inspect('plan-with-method')
	await tab.submit('remove-method')
	check('a method that is open again', await call(third), 200)
	return third
}

// records reads CSV (RFC 4180) into lists of texts.
const records = (text) => text.trimEnd().split(/\r?\n(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((line) =>
	line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((cell) => cell.replace(/^"(.*)"$/s, '$1').replaceAll('""', '"')))

// download lets the browser save the usage of 30 days, for a program and for a spreadsheet. The lines tell what the pages
// tell, and no cell of the spreadsheet is a formula.
async function download(tab, browser) {
	const folder = fs.mkdtempSync(path.join(process.env.PROFILE, 'downloads-'))
	const session = await browser.target().createCDPSession()
	await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder, browserContextId: tab.context.id })
	const today = new Date().toISOString().slice(0, 10)
	const first = new Date(Date.now() - 29 * 86400000).toISOString().slice(0, 10)
	const file = async (format) => {
		await tab.go('/')
		const form = await tab.form('usage.csv')
		await form.evaluate((f, from, to, format) => {
			f.closest('details').open = true
			Object.assign(f.elements.from, { value: from })
			Object.assign(f.elements.to, { value: to })
			f.elements.format.value = format
		}, first, today, format)
		await (await form.$('button')).click()
		for (let i = 0; i < 1200; i++) {
			const [name] = fs.readdirSync(folder).filter((f) => f.endsWith('.csv'))
			if (name) {
				const lines = records(fs.readFileSync(path.join(folder, name), 'utf8'))
				fs.rmSync(path.join(folder, name))
				check(`the name of the file for ${format || 'a program'}`, name, `usage-${first}-${today}.csv`)
				return lines
			}
			await new Promise((then) => setTimeout(then, 50))
		}
		assert.fail('nothing was downloaded: ' + fs.readdirSync(folder))
	}
	const [columns, ...lines] = await file('')
	check('columns', columns.slice(0, 10), ['plan', 'plan name', 'key', 'name', 'customer', 'date', 'used', 'remaining', 'limit', 'adjustments'])
	const at = (name) => lines.filter((l) => l[3] === name)
	check('30 lines of a key', at('points-checker').map((l) => l[5]), [...Array(30).keys()].map((d) => new Date(Date.parse(first) + d * 86400000).toISOString().slice(0, 10)))
	check('used, remaining, limit and extensions', at('points-checker').at(-1).slice(6), ['1000', '0', '1000', '0'])
	check('an extension', at('student-project').at(-1).slice(8), ['1000', '500'])
	check('an earlier limit', at('student-project')[0][8], '800')
	check('a key that starts like a formula', at('=1+1').length, 30)
	const sheet = await file('spreadsheet')
	check('as many lines in the spreadsheet', sheet.length, lines.length + 1)
	check('no formula', sheet.flat().filter((cell) => /^[=+@\t\r]/.test(cell) || /^-(?!\d+$)/.test(cell)), [])
	ok('the name is still there', sheet.some((l) => l[3].endsWith('=1+1')))
}

// holder looks at the page of the key's holder, which the API serves.
async function holder(browser, value) {
	const tab = await Tab.open(browser, BASE)
	await tab.page.setExtraHTTPHeaders({ 'x-api-key': value })
	await tab.go(BASE + '/Prod/usage')
	await tab.shows('Used')
	await tab.inspect('holder')
	await tab.focus('holder')
	await tab.close()
}

// signOut ends the session, also for a copy of its cookie.
async function signOut(tab) {
	const old = await tab.cookies()
	await tab.go('/')
	await tab.submit('sign-out', {}, 403)
	check('no cookie is left', await tab.cookies(), [])
	await tab.context.setCookie(...old)
	await tab.go('/', 403)
	await tab.shows('You are not signed in')
}

async function main() {
	const browser = await launch()
	try {
		const owner = await signIn(browser)
		await tour(owner)
		const made = await create(owner)
		const value = await use(owner, made)
		await holder(browser, value)
		await attack.forge(browser, owner, made.key, () => call(value))
		await attack.inject(owner)
		await download(owner, browser)
		await signOut(owner)
		check('faults', owner.faults, [])
		console.log(`page: ${count()} checks passed`)
	} finally {
		await browser.close()
	}
}

main().catch((e) => { console.error(e); process.exitCode = 1 })
