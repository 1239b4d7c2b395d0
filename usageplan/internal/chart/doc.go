// Package chart draws usage as SVG in HTML: [Usage] a chart of days with its table, [Spark] a small one for a row of a
// list. It has no template and no script. What it returns is safe to be put into a page as it is: it is made of
// numbers, and the few texts in it are escaped.
//
// # Sizes
//
// An SVG with a viewBox scales all that is in it, so labels that can be read on a wide screen cannot on a phone. Here the
// charts with labels have no viewBox. Their places and widths are percentages, which stretch with the page, and their
// texts keep the size of the page's font. The labels of the two axes are SVGs of their own, so that they need no place
// in the plot. Only sparklines, which have no text, have a viewBox.
//
// # Styles
//
// There is no style attribute, because a strict Content-Security-Policy does not allow any. Elements have classes, and
// [Style] is their style sheet, for light and dark. A page puts it into its own. It uses no name of the page's, and all
// of its classes begin with "chart" or stand inside of such an element.
//
// # People who do not see it
//
// Each SVG with data has an accessible name that says what it shows. Everything in a chart stands in the table as well.
// No meaning is told by colour alone: what is used up reaches the line, and an extension has a line at its foot.
package chart
