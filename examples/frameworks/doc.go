// Package frameworks shows, in its tests, that Tallygate works inside frameworks and adapters as it does inside net/http.
package frameworks
