package usageplan

import (
	"iter"
	"mime"
	"net/http"
	"strings"
)

// The media types of a status. The first is the default.
const (
	jsonType = "application/json"
	htmlType = "text/html"
)

// prefersHTML reports whether the header asks for HTML rather than JSON, by RFC 9110 §12.5.1. Browsers do: they list
// text/html with a quality of 1, and JSON only by "*/*" with a lower one. A client that likes both equally gets JSON,
// and so does one that sends no Accept. So does one that accepts neither, in place of a 406: RFC 9110 §12.4.1 leaves
// the choice, and a refusal would help nobody.
func prefersHTML(h http.Header) bool {
	fields := h["Accept"]
	length := 0
	for _, field := range fields {
		length += len(field)
	}
	if length == 0 || length > maxAccept {
		return false
	}
	return acceptance(fields, htmlType) > acceptance(fields, jsonType)
}

// maxAccept bounds what is read of Accept. Browsers send some 150 bytes. A client that sends more gets the default.
const maxAccept = 4096

// acceptance is the quality that the fields give a media type, in thousandths. It is 0 if they do not accept it. The
// most specific range that matches decides, wherever it stands (RFC 9110 §12.5.1); of several equal ones, the best.
// An element that is malformed says nothing about any type, and the others still count.
//
// Example: "text/*;q=0.3, text/html;q=0.7, */*;q=0.5" gives text/html 700 and application/json 500.
func acceptance(fields []string, media string) (quality int) {
	best := noMatch
	for _, field := range fields {
		for element := range listElements(field) {
			match, q, ok := readRange(element, media)
			if !ok || match == noMatch || match < best {
				continue
			}
			if match > best || q > quality {
				best, quality = match, q
			}
		}
	}
	return quality
}

// How well a media range fits a media type: the more specific, the higher.
const (
	noMatch     = iota
	anyType     // */*
	anySubtype  // text/*
	exactType   // text/html
	withCharset // text/html;charset=utf-8
)

// readRange reads an element of Accept: a media range, perhaps with a quality. It reports false if it is malformed. The
// parameter q is the quality wherever it stands (RFC 9110 §12.5.1, the note on "q"). A range with another parameter
// means only representations that have it, and of ours, all have charset=utf-8 and nothing else.
func readRange(element, media string) (match, quality int, ok bool) {
	name, params, err := mime.ParseMediaType(element)
	if err != nil {
		return 0, 0, false
	}
	quality = 1000
	if q, given := params["q"]; given {
		if quality, ok = readQuality(q); !ok {
			return 0, 0, false
		}
		delete(params, "q")
	}
	kind, _, _ := strings.Cut(media, "/")
	switch name {
	case media:
		match = exactType
	case kind + "/*":
		match = anySubtype
	case "*/*":
		match = anyType
	}
	if charset, given := params["charset"]; given && match == exactType && strings.EqualFold(charset, "utf-8") {
		match = withCharset
		delete(params, "charset")
	}
	if len(params) > 0 {
		match = noMatch
	}
	return match, quality, true
}

// readQuality reads a weight between 0 and 1 (RFC 9110 §12.4.2) in thousandths. Digits after the third are dropped, and
// the 0 before the point may be missing: Java's HttpURLConnection sends "q=.2".
func readQuality(s string) (thousandths int, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if s == "" || s == "." || whole != "" && whole != "0" && whole != "1" || strings.Trim(fraction, "0123456789") != "" {
		return 0, false
	}
	if whole == "1" {
		thousandths = 1000
	}
	for i, digit := 0, 100; i < len(fraction) && digit > 0; i, digit = i+1, digit/10 {
		thousandths += digit * int(fraction[i]-'0')
	}
	return thousandths, thousandths <= 1000
}

// listElements yields the elements of a list of a header field (RFC 9110 §5.6.1). A comma between quotes divides
// nothing. Empty elements are left out.
func listElements(field string) iter.Seq[string] {
	return func(yield func(string) bool) {
		quoted, begin := false, 0
		for i := 0; i <= len(field); i++ {
			switch {
			case i == len(field), field[i] == ',' && !quoted:
				if element := strings.Trim(field[begin:i], " \t"); element != "" && !yield(element) {
					return
				}
				begin = i + 1
			case field[i] == '"':
				quoted = !quoted
			case field[i] == '\\' && quoted:
				i++ // a quoted pair
			}
		}
	}
}
