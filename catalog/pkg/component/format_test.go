package component

import (
	"strings"
	"testing"
)

func TestOrUnset(t *testing.T) {
	for _, format := range []Format{word, NewFormat(`[a-z]+|`, word.Words), NewFormat(`(?s)red|blue|a.c`, "a colour")} {
		optional := format.OrUnset()
		if optional.Words != format.Words {
			t.Errorf("%s: got words %q, want %q", format.Pattern, optional.Words, format.Words)
		}
		if !optional.Pattern.MatchString("") {
			t.Errorf("%s: must fit an empty text", optional.Pattern)
		}
		for _, text := range []string{"red", "blue", "green", "redblue", "a\nc", "Red", "red\n", "\n", " ", "|"} {
			if got, want := optional.Pattern.MatchString(text), format.Pattern.MatchString(text); got != want {
				t.Errorf("%s fits %q: got %t, want %t", optional.Pattern, text, got, want)
			}
		}
	}
	if word.Pattern.MatchString("") {
		t.Error("the format itself must stay as it is")
	}
}

func TestFormats(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for _, test := range []struct {
		name        string
		format      Format
		fits, fails []string
	}{
		{"Domain", Domain, []string{"example.com", "a.b.example.com"}, []string{"", "example.com.", "Example.com", "example", "-a.com"}},
		{"Image", Image, []string{"web:1", "shop.example:5000/a/web:1.4", "web" + digest, "web:1" + digest}, []string{"", "web", "shop.example:5000/web", "web:", "web@sha256:0a"}},
		{"URLPath", URLPath, []string{"/", "/health?full=1"}, []string{"", "health", "/a b"}},
	} {
		for _, text := range test.fits {
			if !test.format.Pattern.MatchString(text) {
				t.Errorf("%s must fit %q", test.name, text)
			}
		}
		for _, text := range test.fails {
			if test.format.Pattern.MatchString(text) {
				t.Errorf("%s must not fit %q", test.name, text)
			}
		}
	}
}
