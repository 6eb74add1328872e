package component

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Labels say what a resource belongs to. Their form is the strictest that any
// provider asks for (lower case, no dots), so that all of them can carry it.
type Labels map[string]string

var (
	labelText = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	notSlug   = regexp.MustCompile(`[^a-z0-9]+`)
)

// Labels are those of the map setting "labels" and the program's own, which
// cannot be set: whoever finds a resource must be able to trust them.
func (c *Config) Labels() Labels {
	const words = "a map from keys to values, each 1 to 63 lowercase letters, digits, hyphens and underscores"
	c.describe("labels", "more labels or tags, besides managed-by, project and stack", "", words)
	labels := read(c, "labels", Labels{}, words, func(text string) (labels Labels, ok bool) {
		err := json.Unmarshal([]byte(text), &labels)
		return labels, err == nil && labels.valid()
	})
	all := Labels{"managed-by": "pulumi", "project": slug(c.ctx.Project()), "stack": slug(c.ctx.Stack())}
	for key, value := range labels {
		if _, own := all[key]; own {
			c.Reject("labels", "%s is set by the program itself", key)
		}
		all[key] = value
	}
	return all
}

func (l Labels) valid() bool {
	for key, value := range l {
		if !labelText.MatchString(key) || !labelText.MatchString(value) {
			return false
		}
	}
	return true
}

// Map is for providers with labels.
func (l Labels) Map() pulumi.StringMap {
	return pulumi.ToStringMap(l)
}

// Tags is for providers whose tags are plain words: "key:value", sorted.
func (l Labels) Tags() []string {
	tags := make([]string, 0, len(l))
	for key, value := range l {
		tags = append(tags, key+":"+value)
	}
	slices.Sort(tags)
	return tags
}

// Words is for providers whose tags are one text, split at spaces.
func (l Labels) Words() string {
	return strings.Join(l.Tags(), " ")
}

// slug makes any text fit for names and labels.
func slug(text string) string {
	return strings.Trim(notSlug.ReplaceAllString(strings.ToLower(text), "-"), "-")
}
