package main

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// level is a figure of the moment. It is read when somebody looks, once a second at most.
type level struct {
	name, unit, help string
	read             func() float64
}

// levels are the figures of the layers. Stats is cheap, so each level calls it for itself.
func (g guards) levels() []level {
	count := func(name, help string, read func() int64) level {
		return level{name, "", help, func() float64 { return float64(read()) }}
	}
	return []level{
		count("keys", "API keys.", func() int64 { return int64(g.keys.Stats().Keys) }),
		count("plans", "Usage plans.", func() int64 { return int64(g.plans.Stats().Plans) }),
		count("plan.members", "Members of usage plans.", func() int64 { return int64(g.plans.Stats().Members) }),
		count("ledger.keys", "Keys of quotas in memory.", func() int64 { return g.quotas.Stats().Keys }),
		count("ledger.leases", "Open leases.", func() int64 { return g.quotas.Stats().Leases }),
		count("ledger.reserved", "Units that leases hold.", func() int64 { return g.quotas.Stats().Reserved }),
		count("ledger.queue", "Callers that wait for the engine.", func() int64 { return g.quotas.Stats().Queue }),
		count("ledger.owed", "Operations that a failing engine must still be sent.", func() int64 { return g.quotas.Stats().Owed }),
		count("ledger.spent", "Units spent since the start, less what was given back.", func() int64 { return g.quotas.Stats().Spent }),
		count("tokens", "Tokens that are remembered.", func() int64 { return int64(g.users.Stats().Tokens) }),
		{"issuer.keys.age", "s", "Age of the keys of the issuer.", func() float64 {
			return g.users.Stats().Issuers[0].Age.Seconds() // there is one issuer; several would need a label
		}},
		{"issuer.keys.left", "s", "Time until the keys of the issuer are no longer used; 0 if there are none.", func() float64 {
			return max(0, time.Until(g.users.Stats().Issuers[0].Until).Seconds()) // without keys, Until is the zero time
		}},
		count("issuer.failing", "1 if the last fetch of the issuer's keys has failed.", func() int64 {
			if g.users.Stats().Issuers[0].Error != "" {
				return 1
			}
			return 0
		}),
	}
}

// otelLevels registers gauges for OpenTelemetry, which are read when the metrics are exported.
func otelLevels(m metric.Meter, levels []level) error {
	var errs []error
	for _, l := range levels {
		read := func(_ context.Context, o metric.Float64Observer) error { o.Observe(l.read()); return nil }
		_, err := m.Float64ObservableGauge("tallygate."+l.name, metric.WithUnit(l.unit), metric.WithDescription(l.help),
			metric.WithFloat64Callback(read))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
