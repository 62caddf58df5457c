// Executes templates with Go's own text/template: a list of cases on standard input, a list of outcomes on standard output.
// The data is JSON with whole numbers as ints, as the engine under test has them.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"text/template"
)

type testCase struct {
	Text       string          `json:"text"`
	Data       json.RawMessage `json:"data"`
	MissingKey bool            `json:"missingKey"`
}

type outcome struct {
	Out   string `json:"out"`
	Error string `json:"error"`
}

func ints(value any) any {
	switch typed := value.(type) {
	case json.Number:
		if whole, err := typed.Int64(); err == nil {
			return int(whole)
		}
		float, _ := typed.Float64()
		return float
	case []any:
		for i := range typed {
			typed[i] = ints(typed[i])
		}
	case map[string]any:
		for key := range typed {
			typed[key] = ints(typed[key])
		}
	}
	return value
}

func run(one testCase) (result outcome) {
	var data any
	if len(one.Data) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(one.Data))
		decoder.UseNumber()
		if err := decoder.Decode(&data); err != nil {
			return outcome{Error: err.Error()}
		}
	}
	parsed, err := template.New("t").Parse(one.Text)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	if one.MissingKey {
		parsed.Option("missingkey=error")
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, ints(data)); err != nil {
		return outcome{Error: err.Error()}
	}
	return outcome{Out: out.String()}
}

func main() {
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	outcomes := make([]outcome, len(cases))
	for i, one := range cases {
		outcomes[i] = run(one)
	}
	json.NewEncoder(os.Stdout).Encode(outcomes)
}
