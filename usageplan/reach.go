package usageplan

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// learnRoutes parses Config.Routes.
func (m *Meter) learnRoutes() error {
	c := &m.config
	if c.Routes == nil {
		return nil
	}
	if c.API == "" || c.Stage == "" {
		return errors.New("Config.Routes are patterns of API and Stage, which are required then")
	}
	m.routes = []Route{} // no routes, which is not the same as unknown routes, nil
	var errs []error
	of := Pattern(c.API, c.Stage)
	for _, pattern := range c.Routes {
		r, found := of(&http.Request{Pattern: pattern}) // the method is ANY if the pattern has none
		if !found {
			errs = append(errs, fmt.Errorf("Config.Routes: %q is not a pattern", clip(pattern)))
		}
		m.routes = append(m.routes, r)
	}
	m.config.Routes = nil // they are in m.routes now
	return errors.Join(errs...)
}

// validateReach refuses method throttles that no request can reach, because such a throttle would silently limit
// nothing. It looks at those of the stage that the meter serves; other stages may be served by other meters.
//
// For example, let a meter of the stage "Prod" have the route "GET /Prod/pets/{id}", whose resource is "/pets/{id}":
//
//	/pets/{petId}/GET      reached: names of parameters do not matter
//	/pets/{id}/ANY         reached: ANY is every method
//	/pets/{id}/DELETE      refused: no route has this method
//	/pet/{id}/GET          refused: no route has this resource
//	/Prod/pets/{id}/GET    refused: the stage is no part of a resource
//
// Without Config.Routes, the routes are unknown, and only the last of these is refused. If Config.Route is set as well,
// it may return any resource, and nothing is refused.
func (m *Meter) validateReach(stages []Stage) error {
	i := findStage(stages, m.config.API, m.config.Stage)
	if i < 0 || m.routes == nil && !m.pattern {
		return nil
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(stages[i].Methods)) {
		if throttle, err := parseMethod(key); err == nil && throttle != everyMethod { // validate reports the error
			errs = append(errs, wrap(fmt.Sprintf("method %q", clip(key)), m.reaches(throttle)))
		}
	}
	return errors.Join(errs...)
}

// reaches returns an error if no request can reach the throttle. A route that is declared for ANY method may be called
// with the throttle's.
func (m *Meter) reaches(throttle method) error {
	fits := func(r Route) bool {
		verb := throttle.verb == r.Method || throttle.verb == anyVerb || r.Method == anyVerb
		return verb && fit(throttle.resource, unescape(r.Resource)) > noFit
	}
	if m.routes != nil {
		if !slices.ContainsFunc(m.routes, fits) {
			return fmt.Errorf("fits none of Config.Routes, each without the stage %q", "/"+m.config.Stage)
		}
		return nil
	}
	// The routes are unknown. Two mistakes show without them: a misspelled method, and the path of a URL as the
	// resource.
	if throttle.verb != anyVerb && known(throttle.verb) == anyVerb {
		return fmt.Errorf("%s is no method of API Gateway's; if a route has it, set Config.Routes", clip(throttle.verb))
	}
	if stage := "/" + m.config.Stage; throttle.resource == stage || strings.HasPrefix(throttle.resource, stage+"/") {
		return fmt.Errorf("begins with the stage %s, which is no part of a resource; if it is, set Config.Routes", stage)
	}
	return nil
}
