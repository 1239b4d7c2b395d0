// Package bench compares package auth with other verifiers: its speed in benchmarks, its strictness by fuzzing.
package bench
