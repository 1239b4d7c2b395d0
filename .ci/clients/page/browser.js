'use strict'
// The browser, and what must hold on every page: no dialog, no error in the console, no request to another origin, no
// violation that axe-core finds, and nothing wider than the window.
const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const puppeteer = require('puppeteer-core')
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

let checks = 0
const count = () => checks

// check makes and counts one check.
function check(what, got, want) {
	checks++
	assert.deepEqual(got, want, what)
}

function ok(what, holds) {
	checks++
	assert.ok(holds, what)
}

// launch starts Chromium. It knows no host but this machine, so that nothing of its own leaves it.
const launch = () => puppeteer.launch({
	executablePath: process.env.CHROMIUM,
	userDataDir: process.env.PROFILE,
	timeout: 120000,
	args: [
		'--no-first-run', '--no-default-browser-check', '--disable-background-networking', '--disable-component-update',
		'--disable-default-apps', '--disable-domain-reliability', '--disable-sync', '--disable-breakpad', '--no-pings',
		'--metrics-recording-only', '--disable-client-side-phishing-detection', '--safebrowsing-disable-auto-update',
		'--disable-features=OptimizationHints,MediaRouter,Translate,CertificateTransparencyComponentUpdater',
		'--disable-dev-shm-usage', '--disable-gpu', '--no-proxy-server',
		'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
		...(process.getuid() === 0 ? ['--no-sandbox'] : []),
	],
})

// A Tab is a page of the browser with a cookie jar of its own. What it must never do is kept in faults.
class Tab {
	static async open(browser, origin) {
		const context = await browser.createBrowserContext()
		const tab = new Tab()
		tab.context = context
		tab.page = await context.newPage()
		tab.origin = origin
		tab.faults = []
		tab.page.setDefaultTimeout(60000)
		tab.watch()
		await tab.phone(false)
		return tab
	}

	// watch listens for what no page may cause. Chromium writes each answer of 400 and above into the console as an error;
	// go looks at the status instead.
	watch() {
		this.page.on('dialog', (d) => { this.faults.push('dialog: ' + d.message()); d.dismiss() })
		this.page.on('pageerror', (e) => this.faults.push('error: ' + e.message))
		this.page.on('console', (m) => {
			if (!['error', 'warn'].includes(m.type()) || /^Failed to load resource: the server responded/.test(m.text())) return
			this.faults.push(`console: ${m.text()} at ${this.page.url()}`)
		})
		this.page.on('request', (r) => { // Chromium has pictures of its own, such as that of a date field, as data
			if (!r.url().startsWith(this.origin + '/') && !r.url().startsWith('data:')) this.faults.push('request: ' + r.url())
		})
		this.page.on('response', (r) => { if (r.request().isNavigationRequest()) this.response = r })
	}

	// phone sets the width of the window: that of a phone, or of a screen.
	phone(on) { return this.page.setViewport(on ? { width: 360, height: 740 } : { width: 1280, height: 900 }) }

	// dark sets what the person prefers.
	dark(on) { return this.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: on ? 'dark' : 'light' }]) }

	// go opens a path of the page, which must answer with the status.
	async go(target, status = 200) {
		await this.page.goto(new URL(target, this.origin + '/').href, { waitUntil: 'load' })
		this.answered(target, status)
	}

	answered(what, status) {
		check(what + ', status', this.response.status(), status)
		check(what + ', faults', this.faults, [])
	}

	text() { return this.page.$eval('body', (b) => b.innerText) }

	async shows(what) {
		const text = await this.text()
		ok(`the page shows ${what}, not:\n${text}`, text.includes(what))
	}

	// submit fills in the fields of the form that goes to the action, and presses its button. The form may be closed, and
	// in one of several places: near says which fields it has with which values.
	async submit(action, fields = {}, status = 200, near = {}) {
		const form = await this.form(action, near)
		await form.evaluate((f) => { for (let d = f.closest('details'); d; d = d.parentElement.closest('details')) d.open = true })
		for (const [name, value] of Object.entries(fields)) await this.fill(form, name, value)
		const button = await form.$('button:not([type=button])')
		await Promise.all([this.page.waitForNavigation({ waitUntil: 'load' }), button.click()])
		this.answered(action, status)
	}

	async form(action, near = {}) {
		for (const form of await this.page.$$(`form[action="${action}"]`)) {
			const fits = await form.evaluate((f, near) => Object.entries(near).every(([n, v]) => f.elements[n]?.value === v), near)
			if (fits) return form
		}
		assert.fail(`no form ${action} with ${JSON.stringify(near)} at ${this.page.url()}`)
	}

	async fill(form, name, value) {
		const field = await form.$(`[name="${name}"]${typeof value === 'boolean' ? '' : ':not([type=checkbox])'}`) ?? await form.$(`[name="${name}"][value="${value}"]`)
		ok(`field ${name}`, field)
		const kind = await field.evaluate((f) => (f.tagName === 'SELECT' ? 'select' : f.type))
		if (kind === 'select') {
			check(`option ${value} of ${name}`, await field.select(value), [value])
		} else if (kind === 'checkbox') {
			if (await field.evaluate((f) => f.checked) !== (value !== false)) await field.click()
		} else {
			await field.evaluate((f) => { f.value = '' })
			await field.type(value)
		}
	}

	// inspect looks at the page as it is, in light and dark, wide and narrow, and keeps pictures of it.
	async inspect(name) {
		for (const dark of [false, true]) {
			await this.dark(dark)
			await this.picture(`${name}${dark ? '-dark' : ''}`)
			await this.axe(`${name}, ${dark ? 'dark' : 'light'}`)
		}
		await this.dark(false)
		await this.fits(name, 1280)
		await this.phone(true)
		await this.fits(name, 360)
		await this.picture(name + '-narrow')
		await this.axe(name + ', narrow')
		await this.phone(false)
		check(name + ', faults', this.faults, [])
	}

	// axe fails if axe-core finds a violation. Everything that is closed is opened for it.
	async axe(name) {
		await this.page.evaluate(axe)
		await this.page.$$eval('details', (all) => { for (const d of all) d.open = true })
		const found = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
		check(`${name}, axe-core`, found.violations.map((v) => ({ id: v.id, at: v.nodes.map((n) => `${n.html} ${n.failureSummary}`) })), [])
		await this.page.$$eval('details', (all) => { for (const d of all) d.open = false })
	}

	async fits(name, width) {
		const wide = await this.page.evaluate(() => document.documentElement.scrollWidth)
		ok(`${name} is ${wide} px wide in a window of ${width}`, wide <= width)
	}

	picture(name) {
		return this.page.screenshot({ path: path.join(process.env.ARTEFACTS, `${name.replace(/[^a-z0-9-]+/gi, '-')}.png`), fullPage: true })
	}

	// focus goes through the page by the Tab key. All that can be used must be reached, and must show where the focus is.
	async focus(name) {
		const all = await this.page.evaluate(() => {
			document.activeElement.blur()
			const able = 'a[href],button,input:not([type=hidden]),select,textarea,summary,[tabindex="0"]'
			return [...document.querySelectorAll(able)].filter((e) => e.checkVisibility() && !e.disabled).length
		})
		const reached = new Set()
		for (let i = 0; i < all + 1; i++) {
			await this.page.keyboard.press('Tab')
			const at = await this.page.evaluate(() => {
				const e = document.activeElement
				if (e === document.body) return null
				if (!e.dataset.reached) e.dataset.reached = String(document.querySelectorAll('[data-reached]').length + 1)
				const s = getComputedStyle(e)
				return { n: e.dataset.reached, html: e.outerHTML.slice(0, 120), shown: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 }
			})
			if (!at || reached.has(at.n)) break
			reached.add(at.n)
			ok(`${name}: the focus shows at ${at.html}`, at.shown)
		}
		check(`${name}: reached by the keyboard`, reached.size, all)
	}

	// clean fails if the page has markup that is none of its own: scripts, handlers, pictures, links to scripts.
	async clean(name) {
		const found = await this.page.evaluate(() => {
			const odd = []
			for (const e of document.querySelectorAll('*')) {
				for (const a of e.attributes) {
					const leads = /^(href|src|action|formaction|xlink:href)$/i.test(a.name) && /^\s*(javascript|data):/i.test(a.value)
					if (leads || /^on/i.test(a.name) || a.name === 'style') odd.push(`${e.tagName} ${a.name}=${a.value}`)
				}
			}
			for (const e of document.querySelectorAll('img,iframe,object,embed,base,link,svg script,b,marquee')) odd.push(e.outerHTML)
			return { odd, scripts: document.scripts.length, hit: window.hit === undefined ? 'nothing' : window.hit }
		})
		check(`${name}: foreign markup`, found, { odd: [], scripts: 1, hit: 'nothing' })
		check(`${name}, faults`, this.faults, [])
	}

	async cookies() { return this.page.browserContext().cookies() }

	close() { return this.context.close() }
}

module.exports = { launch, Tab, check, ok, count }
