package sigv4

import (
	"crypto/rand"
	"encoding/xml"
	"errors"
	"net/http"
)

// s3Messages are S3's texts by its error codes. Clients decide by the code, and people read the text. Source: Amazon S3
// API Reference, "Error responses", "List of error codes".
var s3Messages = map[string]string{
	"AccessDenied":                      "Access Denied",
	"AuthorizationHeaderMalformed":      "The authorization header that you provided is not valid.",
	"AuthorizationQueryParametersError": "X-Amz-Expires must be a number of seconds between 1 and 604800",
	"EntityTooLarge":                    "Your proposed upload exceeds the maximum allowed object size.",
	"ExpiredToken":                      "The provided token has expired.",
	"IncompleteBody":                    "You did not provide the number of bytes specified by the Content-Length HTTP header.",
	"InternalError":                     "We encountered an internal error. Please try again.",
	"InvalidAccessKeyId":                "The AWS access key ID that you provided does not exist in our records.",
	"InvalidArgument":                   "Invalid Argument",
	"InvalidRequest":                    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
	"InvalidToken":                      "The provided token is malformed or otherwise not valid.",
	"NotImplemented":                    "Streaming payloads are not accepted.",
	"RequestHeaderSectionTooLarge":      "Your request header section exceeds the maximum allowed size.",
	"RequestTimeTooSkewed":              "The difference between the request time and the server's time is too large.",
	"ServiceUnavailable":                "Service is unable to handle request.",
	"SignatureDoesNotMatch":             "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
	"XAmzContentSHA256Mismatch":         "The provided 'x-amz-content-sha256' header does not match what was computed.",
}

// s3Error is S3's answer. HeadersNotSigned is only in the answer to errUnsignedHeader.
type s3Error struct {
	XMLName          xml.Name `xml:"Error"`
	Code             string
	Message          string
	HeadersNotSigned string `xml:",omitempty"`
	Resource         string
	RequestID        string `xml:"RequestId"`
}

// s3Error returns the document that answers the refusal. Two texts depend on the request: that of a wrong region, which
// names the right one, and that of a header that is not signed.
func (e *Error) s3Error(r *http.Request, a *reply) s3Error {
	body := s3Error{Code: a.s3Code, Message: s3Messages[a.s3Code]}
	if r.URL != nil { // an adapter may make a request without one
		body.Resource = clip(r.URL.Path)
	}
	for _, f := range e.scopeFaults() {
		if f.part == "region" {
			body.Message = "The authorization header is malformed; the region '" + clip(f.got) + "' is wrong; expecting '" + f.want + "'"
		}
	}
	if a.cause == errUnsignedHeader {
		body.Message = "There were headers present in the request which were not signed"
		body.HeadersNotSigned = clip(e.Detail)
	}
	return body
}

// S3XML answers as Amazon S3 does: with an XML document, and with S3's codes and statuses. It is a
// [VerifierConfig].ErrorHandler. An error that is not of this package is answered as an internal one. The clients of S3
// need it: they parse the document, and retry or correct their clocks by its code.
func S3XML(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = refuse(ErrNotConfigured, "")
	}
	a := e.answer()
	if errors.Is(e.Err, errVersion2) {
		a = refuse(errVersion2, "").answer()
	}
	body := e.s3Error(r, a)
	h := w.Header()
	e.SetHeader(h)
	if body.RequestID = h.Get("X-Amzn-RequestId"); body.RequestID == "" { // unless an outer layer has named the request
		body.RequestID = rand.Text()[:16]
		h.Set("X-Amzn-RequestId", body.RequestID)
	}
	h.Set("X-Amz-Request-Id", body.RequestID)
	h.Set("Content-Type", "application/xml")
	text, _ := xml.Marshal(body) // strings always encode
	w.WriteHeader(a.s3Status)
	_, _ = w.Write(append([]byte(xml.Header), text...)) // net/http sends no body to a HEAD request
}
