package componenttest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

var update = flag.Bool("update", false, "write the tables of settings in READMEs anew")

// The lines between which a README has the table of its program's settings.
const (
	tableBegins = "<!-- settings, written by: go test -update -->\n"
	tableEnds   = "\n<!-- end of settings -->\n"
)

// checkReadme compares the table in a README with the settings that the program
// reads, or writes it.
func checkReadme(file string, program pulumi.RunFunc, write bool) error {
	table, err := settings(program)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(text), tableBegins)
	is, after, ended := strings.Cut(rest, tableEnds)
	switch {
	case !begun || !ended:
		return fmt.Errorf("%s: there is no table of settings between the lines %s and %s", file,
			strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	case is == table:
		return nil
	case write:
		return os.WriteFile(file, []byte(before+tableBegins+table+tableEnds+after), 0o644)
	default:
		return fmt.Errorf("%s: the table of settings is not that of the program; run: go test -update", file)
	}
}

// settings are those that the program reads, as a table in Markdown.
func settings(program pulumi.RunFunc) (string, error) {
	engine := &engine{inputs: map[string][]resource.PropertyMap{}}
	err := pulumi.RunErr(program, pulumi.WithMocks("project", "stack", engine), func(info *pulumi.RunInfo) {
		info.Config = map[string]string{component.Describe: "true"}
	})
	var description component.Description
	if !errors.As(err, &description) {
		return "", fmt.Errorf("asked for its settings, the program ended with %v", err)
	}
	return description.Error(), nil
}
