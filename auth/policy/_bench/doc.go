// Package bench compares package policy with other evaluators: its speed in benchmarks, its decisions by fuzzing.
package bench
