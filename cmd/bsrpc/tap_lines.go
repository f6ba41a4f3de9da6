package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/trace"
)

// connName returns the name of a connection in lines.
func connName(conn uint32) string { return fmt.Sprintf("#%d", conn) }

// writeEvent writes the line of an event, by one Write. It must be called within the func of its
// decoder. Texts of peers are safe for a terminal in events.
func (p *tap) writeEvent(w io.Writer, conn uint32, e *trace.Event) error {
	var line bytes.Buffer
	if p.json {
		if err := writeJSON(&line, eventJSON(conn, e)); err != nil {
			return err
		}
	} else {
		text, _ := e.AppendText(nil) // the error is always nil
		line.Write(append(text, '\n'))
	}
	_, err := w.Write(line.Bytes())
	return err
}

// lostLines returns the line about dropped ones.
func (p *tap) lostLines(n int) string {
	if p.json {
		return fmt.Sprintf(`{"lost":%d}`, n)
	}
	return fmt.Sprintf("%d lines dropped: the terminal is slow; --record keeps everything", n)
}

// A jsonEvent is an event as JSON.
type jsonEvent struct {
	Conn    uint32       `json:"conn"`
	Time    time.Time    `json:"time"`
	From    string       `json:"from"`
	Frame   string       `json:"frame"`
	Call    string       `json:"call,omitempty"`
	ID      uint64       `json:"id,omitempty"` // of the call, on the wire
	Size    int64        `json:"size"`
	Method  string       `json:"method,omitempty"`
	Failure *jsonFailure `json:"failure,omitempty"`
	Fields  []jsonField  `json:"fields,omitempty"`
	Dump    []string     `json:"dump,omitempty"`
}

type jsonField struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

type jsonFailure struct {
	Code    uint16 `json:"code"`
	Name    string `json:"name,omitempty"`
	Message string `json:"message"`
	LogID   string `json:"log,omitempty"`
	NotRun  bool   `json:"notRun,omitempty"`
	Expired bool   `json:"expired,omitempty"`
}

// eventJSON returns an event as JSON.
func eventJSON(conn uint32, e *trace.Event) *jsonEvent {
	j := &jsonEvent{
		Conn: conn, Time: e.Time, From: e.From.String(), Frame: e.Frame, ID: e.Call, Size: e.Size, Method: e.Method,
	}
	if e.Call != 0 {
		j.Call = e.CallName()
	}
	if f := e.Failure; f != nil {
		j.Failure = &jsonFailure{f.Code, f.Name, f.Message, f.LogID, f.NotRun, f.Expired}
	}
	for _, f := range e.Fields {
		j.Fields = append(j.Fields, jsonField{f.Name, f.Value})
	}
	text, _ := e.AppendText(nil)
	for i, line := range strings.Split(string(text), "\n") {
		if i > 0 {
			j.Dump = append(j.Dump, strings.TrimSpace(line))
		}
	}
	return j
}
