// Runs cases of the npm package http-cache-tests against a cache, all at once, and prints what became
// of each: node suite.mjs FOLDER BASE [ID...]. Its own runner would need two more packages to fetch
// with; what it decides by is all in the package.
import { pathToFileURL } from 'node:url'

const [folder, base, ...ids] = process.argv.slice(2)
const load = name => import(pathToFileURL(`${folder}/${name}`))
const { runTests, getResults } = await load('client/runner.mjs')
// Not its cases of Surrogate-Control, whose place RFC 9213 has taken.
const suites = (await load('tests/index.mjs')).default

// Node's fetch would ask caches for something new wherever a request has a condition and no wish of
// its own, so each has one that means nothing.
const ask = (url, init) => {
  const headers = new Headers(init?.headers)
  if (!headers.has('pragma')) headers.set('pragma', 'foo')
  if (!headers.has('cache-control')) headers.set('cache-control', 'nothing-to-see-here')
  return fetch(url, { ...init, headers })
}

const wanted = test => !test.browser_only && (ids.length === 0 || ids.includes(test.id))
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(wanted) }))
await runTests(chosen, ask, false, base, 1000)

// "setup": the case got no further than what it has to start from.
const word = result => {
  if (result === true) return 'pass'
  return ['Assertion', 'AbortError'].includes(result[0]) ? 'fail' : 'setup'
}
const results = getResults()
const told = {}
for (const test of chosen.flatMap(suite => suite.tests)) {
  const kind = test.kind ?? 'required'
  told[kind] ??= {}
  told[kind][test.id] = word(results[test.id])
}
console.log(JSON.stringify(told))
