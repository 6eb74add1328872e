package component

import (
	"fmt"
	"strings"
)

// Describe is the configuration key by which a program is asked to describe
// its settings instead of creating anything.
const Describe = "component:describe"

// Setting is one that a program has read.
type Setting struct {
	Key, Meaning string
	// Default is empty where the setting has none.
	Default  string
	Required bool
	// Words say what the value must be.
	Words string
}

// Description is all settings that a program reads, in the order in which it
// reads them. It is an error because it ends the program.
type Description []Setting

// Error is the description as a table in Markdown.
func (d Description) Error() string {
	lines := []string{"| key | default | value | meaning |", "|---|---|---|---|"}
	cell := strings.NewReplacer("|", `\|`)
	for _, s := range d {
		fallback := "none"
		switch {
		case s.Required:
			fallback = "**required**"
		case s.Default != "":
			fallback = "`" + cell.Replace(s.Default) + "`"
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s |", s.Key, fallback, cell.Replace(s.Words), cell.Replace(s.Meaning)))
	}
	return strings.Join(lines, "\n")
}

func (c *Config) describe(key, meaning, fallback, words string) {
	c.settings = append(c.settings, Setting{Key: key, Meaning: meaning, Default: fallback, Words: words})
}
