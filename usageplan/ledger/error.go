package ledger

import (
	"errors"
	"fmt"
	"strconv"
)

// Causes, for [errors.Is].
var (
	// ErrExhausted: the account has not enough left. Answer 429.
	ErrExhausted = errors.New("quota exhausted")

	// ErrUnavailable: the engine failed, the context ended first, the key's row is damaged or of a newer version, the
	// period has not begun by the engine's clock, or the ledger has been closed. Whether the change was made may not be
	// known. Answer 503. A charge that turns out to have been counted is given back; a settlement is made good; an
	// adjustment may be retried under its ID.
	ErrUnavailable = errors.New("store unavailable")

	// ErrNotConfigured: the ledger is nil or zero, or the Ref is, or a zero [Charge] was to grow. Answer 500.
	ErrNotConfigured = errors.New("not configured")

	// ErrInvalid: a mistake in a [Config] or a [Quota], a [Key] that is empty or oversized, a cost below zero or
	// above [MaxUnits], or more given back than was taken.
	ErrInvalid = errors.New("invalid")

	// ErrForgiven: a settlement was trued up only as far as the limit in force allows; the rest was not counted. The
	// request has been served: there is nothing to answer.
	ErrForgiven = errors.New("units beyond the limit forgiven")

	// ErrSettled: the charge had been settled before; this call changed nothing.
	ErrSettled = errors.New("charge is settled already")

	// ErrTooLate: the charge was taken longer ago than [Config].SettleWithin; this call changed nothing, and what was
	// taken stays counted.
	ErrTooLate = errors.New("charge is older than Config.SettleWithin")

	// ErrAdjustment: an oversized [Adjustment], a correction to less than nothing used, adjustments that add up to more
	// than [MaxUnits] either way, an ID that names another adjustment, or no number that could remain.
	ErrAdjustment = errors.New("adjustment")

	// ErrDiffers: the target of a [Copy] has a row that the source has not, or has otherwise; or one of the two was
	// changed meanwhile. No row of the target was replaced. Close all ledgers over both, and copy to an empty engine.
	ErrDiffers = errors.New("target of the copy differs from the source")

	// ErrLeased: a ledger over the source of a [Copy] holds a lease. Close the ledger first.
	ErrLeased = errors.New("source of the copy is in use")
)

// What is not configured.
var (
	errNoLedger = fmt.Errorf("%w: the ledger is nil or zero: make it with New", ErrNotConfigured)
	errNoRef    = fmt.Errorf("%w: the Ref is zero: get it from Ledger.Ref", ErrNotConfigured)
	errNoCharge = fmt.Errorf("%w: the Charge is zero: only what was taken can grow", ErrNotConfigured)
)

// What is invalid.
var (
	errConfig = fmt.Errorf("%w config", ErrInvalid)
	errQuota  = fmt.Errorf("%w quota", ErrInvalid)
	errKey    = fmt.Errorf("%w key", ErrInvalid)
	errCost   = fmt.Errorf("%w cost", ErrInvalid)
)

// Why the ledger is unavailable, though the engine has not failed.
var (
	errClosed = errors.New("closed")
	errEarly  = errors.New("this machine's clock is ahead of the store's, where the period has not begun")
)

// Error is why the ledger did not do what it was asked. Every error of [Ledger] and [Charge] is an *Error. Several
// callers may get the same one, so do not change it.
type Error struct {
	// Err is one of the causes above or wraps one.
	Err error

	// Cause says more under [ErrUnavailable]; else it is nil. It is or wraps the engine's own error, or the context's
	// if that ended the wait.
	Cause error

	// Balance is the account's, with [ErrExhausted], [ErrForgiven], [ErrSettled] and [ErrTooLate], and with
	// [ErrAdjustment] if the account refused it; else zero.
	Balance Balance
}

// Error implements error. The text is for logs, not for clients.
func (e *Error) Error() string {
	if e.Err == ErrExhausted { // a refusal may be frequent
		b := e.Balance
		return "ledger: " + ErrExhausted.Error() + ": " + strconv.FormatInt(b.Remaining, 10) + " left of " + strconv.FormatInt(b.Limit+b.Adjustments, 10)
	}
	text := fmt.Sprintf("ledger: %v", e.Err) // the zero Error has no cause
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns Err and, if there is one, Cause.
func (e *Error) Unwrap() []error {
	if e.Cause != nil {
		return []error{e.Err, e.Cause}
	}
	return []error{e.Err}
}
