// Package component is what the programs of the catalog share: reading a
// stack's configuration, naming and labelling what they create.
//
// A program reads every setting through one Config and asks for Err once, so
// that a user sees all mistakes at the first run instead of one a run. Each
// reader is told what its setting means: that is where a program's README has
// its table from.
package component

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Day is a day in seconds, the unit in which providers take most spans of time.
const Day = 24 * 60 * 60

// Config reads the configuration of the running stack, in the namespace of its
// project, and gathers what is wrong with it.
type Config struct {
	ctx      *pulumi.Context
	settings []Setting
	faults   []error
}

// NewConfig is the configuration of the stack that ctx runs.
func NewConfig(ctx *pulumi.Context) *Config {
	return &Config{ctx: ctx}
}

// Err is everything wrong with what was read so far, or nil. Where the stack
// asks for a Description, it is that.
func (c *Config) Err() error {
	if _, asked := c.ctx.GetConfig(Describe); asked {
		return Description(c.settings)
	}
	if len(c.faults) == 0 {
		return nil
	}
	return fmt.Errorf("invalid configuration of stack %s:\n%w\nset a value with: pulumi config set KEY VALUE",
		c.ctx.Stack(), errors.Join(c.faults...))
}

// Reject notes a fault that only the program can see, such as two settings
// that exclude each other.
func (c *Config) Reject(key, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("  %s: %s", key, fmt.Sprintf(format, args...)))
}

// DefaultName tells the stacks of all programs apart: project-stack in lower
// case, with a hyphen for every other character.
func (c *Config) DefaultName() string {
	return slug(c.ctx.Project() + "-" + c.ctx.Stack())
}

// Text is a setting of the given format. An unset one takes the fallback,
// which must fit as well: with a format that excludes the empty text, the
// fallback "" makes the setting mandatory.
func (c *Config) Text(key, meaning, fallback string, format Format) string {
	c.describe(key, meaning, fallback, format.Words)
	if fallback == "" && !format.Pattern.MatchString("") {
		c.settings[len(c.settings)-1].Required = true
	}
	text, set := c.lookup(key)
	if !set {
		text = fallback
	}
	switch {
	case format.Pattern.MatchString(text):
	case text == "":
		c.Reject(key, "is not set; it must be %s", format.Words)
	default:
		c.Reject(key, "must be %s, not %q", format.Words, text)
	}
	return text
}

// Optional leaves an input unset where the text is empty, so that the provider
// chooses.
func Optional(text string) pulumi.StringPtrInput {
	if text == "" {
		return nil
	}
	return pulumi.String(text)
}

// OneOf is one of the choices, the first of which is the default.
func (c *Config) OneOf(key, meaning string, choices ...string) string {
	words := "one of " + strings.Join(choices, ", ")
	c.describe(key, meaning, choices[0], words)
	return read(c, key, choices[0], words, func(text string) (string, bool) {
		return text, slices.Contains(choices, text)
	})
}

// Int is a whole number from lowest to highest.
func (c *Config) Int(key, meaning string, fallback, lowest, highest int) int {
	words := fmt.Sprintf("a whole number from %d to %d", lowest, highest)
	c.describe(key, meaning, strconv.Itoa(fallback), words)
	return read(c, key, fallback, words, func(text string) (int, bool) {
		number, err := strconv.Atoi(text)
		return number, err == nil && lowest <= number && number <= highest
	})
}

// Bool is true or false.
func (c *Config) Bool(key, meaning string, fallback bool) bool {
	const words = "true or false"
	c.describe(key, meaning, strconv.FormatBool(fallback), words)
	return read(c, key, fallback, words, func(text string) (bool, bool) {
		value, err := strconv.ParseBool(text)
		return value, err == nil
	})
}

// List is a list of texts of the given format; empty if unset.
func (c *Config) List(key, meaning string, format Format) []string {
	return c.list(key, meaning, format.Words, format.Pattern.MatchString)
}

// CIDRs is a list of networks; empty if unset. The whole Internet is refused:
// all these lists open something that should not be open to everyone.
func (c *Config) CIDRs(key, meaning string) []string {
	return c.list(key, meaning, "a network smaller than the Internet, such as 192.0.2.0/24", func(text string) bool {
		network, err := netip.ParsePrefix(text)
		return err == nil && network.Bits() > 0 && network == network.Masked()
	})
}

func (c *Config) list(key, meaning, item string, fits func(string) bool) []string {
	words := "a list, each item " + item
	c.describe(key, meaning, "", words)
	return read(c, key, nil, words, func(text string) (items []string, ok bool) {
		err := json.Unmarshal([]byte(text), &items)
		return items, err == nil && !slices.ContainsFunc(items, func(item string) bool { return !fits(item) })
	})
}

// lookup is the raw setting. Lists and maps come as JSON, however a stack's
// file spells them.
func (c *Config) lookup(key string) (text string, set bool) {
	return c.ctx.GetConfig(c.ctx.Project() + ":" + key)
}

// read parses a setting, or takes the fallback where the stack has none.
func read[T any](c *Config, key string, fallback T, words string, parse func(string) (T, bool)) T {
	text, set := c.lookup(key)
	if !set {
		return fallback
	}
	value, ok := parse(text)
	if !ok {
		c.Reject(key, "must be %s, not %q", words, text)
	}
	return value
}
