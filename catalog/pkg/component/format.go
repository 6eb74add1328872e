package component

import "regexp"

// Format is what a text setting must look like.
type Format struct {
	Pattern *regexp.Regexp
	// Words say the pattern to a user: they follow "must be".
	Words string
}

// NewFormat makes a Format of a pattern that must match the whole text.
func NewFormat(pattern, words string) Format {
	return Format{Pattern: regexp.MustCompile(`^(?:` + pattern + `)$`), Words: words}
}

// OrUnset is the format of a setting that may be left out.
func (f Format) OrUnset() Format {
	return NewFormat(`|`+f.Pattern.String(), f.Words)
}

var (
	// DNSLabel is the form of name that most providers take.
	DNSLabel = NewFormat(`[a-z]([a-z0-9-]{0,61}[a-z0-9])?`,
		"1 to 63 lowercase letters, digits and hyphens, starting with a letter")
	// NamePrefix is for names that all customers of a provider share, such as
	// a bucket's: Pulumi appends 8 characters to make it unique, of 63 in all.
	NamePrefix = NewFormat(`[a-z][a-z0-9-]{1,53}[a-z0-9]`,
		"3 to 55 lowercase letters, digits and hyphens, starting with a letter, as a random suffix follows")

	Domain = NewFormat(`([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?`,
		"a domain such as example.com, without a dot at its end")
	// Image demands a version: what a bare name stands for changes over time.
	Image = NewFormat(`(\S+/)?[^\s/:@]+(:[\w.-]+|(:[\w.-]+)?@sha256:[0-9a-f]{64})`, "an image with a tag or digest")
	// URLPath is a path on a web server.
	URLPath = NewFormat(`/\S*`, "a path that starts with /")
)
