package chart

import "strings"

// escaper replaces the five characters that html.EscapeString replaces. Package html itself cannot be used: it keeps the
// names of all entities, 70 kB, in each program that imports package usageplan, also in one that serves no page.
var escaper = strings.NewReplacer("&", "&amp;", "'", "&#39;", "<", "&lt;", ">", "&gt;", `"`, "&#34;")

// Escape returns a text in the form in which HTML shows it, inside of an element or of a quoted attribute.
func Escape(text string) string { return escaper.Replace(text) }
