// Package componenttest runs a program of the catalog against a mock engine
// and compares what it asks the engine to create. Nothing leaves the process.
package componenttest

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"
)

// Project and Stack are those of every run.
const (
	Project = "shop"
	Stack   = "test"
)

// Case is one run of a program and what it must come to.
type Case struct {
	Name string
	// Config is the stack's configuration, without the project's namespace.
	Config map[string]any
	// Inputs are what resources must be given: resource → property path →
	// value. A resource is named by its type token or, where there are several
	// of a type, by "TOKEN NAME". The value null means that the property must be
	// unset; null for a resource, that there must be none.
	Inputs map[string]map[string]any
	// Outputs are what the provider adds to the inputs of all resources of a
	// type: type token → property → value.
	Outputs map[string]map[string]any
	// Faults are texts that the run's error must contain; none means that the
	// run must succeed.
	Faults []string
}

// Run tests the program with each case of a YAML file, and that its README
// has the table of its settings. A run that fails may not have registered
// anything: bad configuration has to be found before that.
func Run(t *testing.T, program pulumi.RunFunc, file string) {
	t.Helper()
	t.Run("README", func(t *testing.T) {
		if err := checkReadme("README.md", program, *update); err != nil {
			t.Error(err)
		}
	})
	cases, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, problem := range c.problems(program) {
				t.Error(problem)
			}
		})
	}
}

// read refuses fields that it does not know: a misspelt one would test nothing.
func read(file string) ([]Case, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	var cases []Case
	if err := decoder.Decode(&cases); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cases, nil
}

// problems is what the program does otherwise than the case says.
func (c Case) problems(program pulumi.RunFunc) []string {
	engine := &engine{outputs: c.Outputs, inputs: map[string][]resource.PropertyMap{}}
	err := pulumi.RunErr(program, pulumi.WithMocks(Project, Stack, engine), func(info *pulumi.RunInfo) {
		info.Config = map[string]string{}
		for key, value := range c.Config {
			info.Config[Project+":"+key] = configText(value)
		}
	})
	if len(c.Faults) == 0 {
		if err != nil {
			return []string{err.Error()}
		}
		return engine.differences(c.Inputs)
	}
	if err == nil {
		return []string{fmt.Sprintf("the run succeeded, want an error with %q", c.Faults)}
	}
	var problems []string
	for _, fault := range c.Faults {
		if !strings.Contains(err.Error(), fault) {
			problems = append(problems, fmt.Sprintf("the error does not say %q:\n%v", fault, err))
		}
	}
	if len(engine.inputs) > 0 {
		problems = append(problems, fmt.Sprintf("resources were registered all the same: %v", engine.inputs))
	}
	return problems
}

// configText is a value as the engine hands it to a program: a text as it is,
// everything else as JSON.
func configText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // YAML yields nothing that JSON cannot say
	}
	return string(text)
}

// engine stands in for Pulumi's: it keeps the inputs of every resource and
// answers with them and the given outputs as the resource's state.
type engine struct {
	outputs map[string]map[string]any
	mu      sync.Mutex
	// inputs are found by type, and by type and name.
	inputs map[string][]resource.PropertyMap
}

func (e *engine) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range []string{args.TypeToken, args.TypeToken + " " + args.Name} {
		e.inputs[key] = append(e.inputs[key], args.Inputs)
	}
	state := args.Inputs.Copy()
	for property, value := range e.outputs[args.TypeToken] {
		state[resource.PropertyKey(property)] = resource.NewPropertyValue(value)
	}
	return args.Name + "-id", state, nil
}

// Call answers a lookup with its own arguments.
func (e *engine) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return args.Args, nil
}

func (e *engine) differences(want map[string]map[string]any) []string {
	var found []string
	differ := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for key, properties := range want {
		resources := e.inputs[key]
		expected := 1
		if properties == nil {
			expected = 0
		}
		if len(resources) != expected {
			differ("%s: there are %d, want %d", key, len(resources), expected)
			continue
		}
		for path, value := range properties {
			got, err := at(resources[0], path)
			// Both pass through the same conversion, which makes every number a float64.
			value = resource.NewPropertyValue(value).Mappable()
			if err != nil {
				differ("%s: property path %q: %v", key, path, err)
			} else if !reflect.DeepEqual(got, value) {
				differ("%s: %s is %#v, want %#v", key, path, got, value)
			}
		}
	}
	return found
}

// at is the plain value at a property path, or nil where there is none.
func at(properties resource.PropertyMap, path string) (any, error) {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		return nil, err
	}
	value, ok := parsed.Get(resource.NewProperty(properties))
	if !ok {
		return nil, nil
	}
	return value.Mappable(), nil
}
