package chart

import _ "embed"

// Style is the style sheet of the charts.
//
//go:embed chart.css
var Style string
