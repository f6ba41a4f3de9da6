package bsrpc

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

const (
	maxMethods    = 1 << 16
	maxLayoutText = 64 << 10
	hashPrefix    = "bsrpc method 1\n"
)

// A Method describes a method that a server offers.
type Method struct {
	Name   string   // service and method: "Greeter.Hello"
	Layout string   // canonical text of what travels, docs/protocol.md
	Hash   [32]byte // SHA-256 by which both ends check that they mean the same
}

// A method is what a server runs for a request.
type method struct {
	Method
	sig       *signature    // of what travels
	fn        reflect.Value // the func; its receiver, if it has one, is its first parameter
	owner                   // whose method fn is
	from      string        // the registration it is from, for messages
	id        int           // the command by which a basic peer calls it; -1 if none can
	exclusive string        // the name of its group, "" for none
	group     *group
	made      int          // which of a session's own receivers it takes: see registry.makers; -1 if none
	ctx       bool         // fn takes the context, ...
	err       bool         // ... returns an error, ...
	vari      bool         // ... has its last parameter spread: where sig is a contract's, fn may differ in these
	code      funcCode     // fn for a call without reflection
	slow      atomic.Int32 // requests to run on a goroutine of their own before it is tried on the leader's again
}

// A registry is the method table of a server.
type registry struct {
	basic bool // basic clients are served: ids must differ

	mu       sync.RWMutex
	services map[string]map[string]*method // by service, then by name within it
	byID     map[int]*method               // where basic
	list     []*method
	makers   []*maker // of the receivers that each session has
	groups   map[string]*group
	closed   bool // the server serves: too late to register
}

// isMade says whether s comes from NewServer.
func (s *Server) isMade() bool { return s != nil && s.registry != nil }

// offer adds the methods of one service to those of the server.
func (s *Server) offer(service string, methods []*method, problems []problem) error {
	if !s.isMade() {
		return fmt.Errorf("bsrpc: register %s: nil Server; use NewServer", cut(service, 64))
	}
	return s.registry.add(service, methods, problems)
}

// add enters the methods of one service, all or none.
func (r *registry) add(service string, methods []*method, problems []problem) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		problems = append(problems, problem{service, "the server is serving; register everything before"})
	}
	for _, m := range methods {
		if other := r.findLocked(m.Name); other != nil {
			problems = append(problems, problem{m.Name, twice(other.from, m.from)})
		}
		if validService(service) == nil {
			problems = append(problems, layoutProblems(m.Method)...)
		}
	}
	problems = append(problems, r.idProblemsLocked(methods)...)
	if n := len(r.list) + len(methods); n > maxMethods {
		problems = append(problems, problem{service, fmt.Sprintf("makes %d methods, a server has at most %d", n, maxMethods)})
	}
	if err := serviceError("register", service, problems); err != nil {
		return err
	}
	if r.services == nil {
		r.services, r.byID = make(map[string]map[string]*method), make(map[int]*method)
	}
	if r.services[service] == nil {
		r.services[service] = make(map[string]*method)
	}
	for _, m := range methods {
		r.services[service][m.Name[len(service)+1:]] = m
		if r.basic && m.id >= 0 {
			r.byID[m.id] = m
		}
		r.list = append(r.list, m)
		m.made = r.madeLocked(m.maker)
		m.group = r.groupLocked(m.exclusive)
	}
	return nil
}

// twice says by which registrations a name is taken and wanted.
func twice(first, second string) string {
	if first == second {
		return fmt.Sprintf("registered twice, both times %s; register it once, or under another name", second)
	}
	return fmt.Sprintf("registered twice, first %s, now %s; leave one out, or give it another name", first, second)
}

// idProblemsLocked says which commands several methods have.
func (r *registry) idProblemsLocked(methods []*method) (problems []problem) {
	own := make(map[int]*method)
	for _, m := range methods {
		if !r.basic || m.id < 0 {
			continue
		}
		other := cmp.Or(r.byID[m.id], own[m.id])
		if other != nil {
			problems = append(problems, problem{m.Name, fmt.Sprintf("id=%d is %s's; a server with Basic needs different ones", m.id, other.Name)})
		}
		own[m.id] = m
	}
	return problems
}

// groupLocked returns the group of a name, nil for none.
func (r *registry) groupLocked(name string) *group {
	if name == "" {
		return nil
	}
	if r.groups == nil {
		r.groups = make(map[string]*group)
	}
	if r.groups[name] == nil {
		r.groups[name] = newGroup(name)
	}
	return r.groups[name]
}

// madeLocked returns which of a session's receivers mk makes, -1 for none.
func (r *registry) madeLocked(mk *maker) int {
	if mk == nil {
		return -1
	}
	i := slices.Index(r.makers, mk)
	if i < 0 {
		i = len(r.makers)
		r.makers = append(r.makers, mk)
	}
	return i
}

// close ends the time to register.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// find returns the method of a full name, nil if there is none.
func (r *registry) find(name string) *method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.findLocked(name)
}

func (r *registry) findLocked(name string) *method {
	service, method, _ := cutLast(name)
	return r.services[service][method]
}

// service returns a service's methods by their names, none if there is no such
// service. Nothing changes them when the server serves.
func (r *registry) service(name string) map[string]*method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.services[name]
}

// command returns the method that a basic client calls by id, nil if none.
func (r *registry) command(id uint16) *method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[int(id)]
}

func (r *registry) methods() []Method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]Method, len(r.list))
	for i, m := range r.list {
		list[i] = m.Method
	}
	return list
}

// newMethod gives a signature its name, text and hash. fn has a receiver if of
// has one.
func newMethod(service, name string, sig *signature, fn reflect.Value, of owner) *method {
	m := &method{sig: sig, fn: fn, owner: of, id: -1}
	m.Method = describe(service, name, sig)
	in := 0
	if of.methods != nil {
		in = 1
	}
	t := fn.Type()
	m.ctx = t.NumIn() > in && t.In(in) == contextType
	m.err = t.NumOut() > 0 && t.Out(t.NumOut()-1) == errorType
	m.vari = t.IsVariadic()
	m.code = codeOf(m)
	return m
}

func describe(service, name string, sig *signature) Method {
	text := sig.layout(service, name).String()
	return Method{Name: service + "." + name, Layout: text, Hash: hashOf(text)}
}

// layoutProblems says why the other end could not read the layout of m.
func layoutProblems(m Method) []problem {
	if len(m.Layout) > maxLayoutText {
		return []problem{{m.Name, fmt.Sprintf("the text of its layout has more than %d bytes; make its types smaller", maxLayoutText)}}
	}
	if _, err := layout.ParseMethod(m.Layout); err != nil {
		return []problem{{m.Name, "its layout: " + err.Error()}}
	}
	return nil
}

func hashOf(text string) [32]byte { return sha256.Sum256([]byte(hashPrefix + text)) }

// An owner is what the methods of a service belong to: a value that all
// sessions share, or one that each has of its own. The zero value is that of a
// func, which has none.
type owner struct {
	methods reflect.Type // a pointer
	recv    receiver     // the value, where it is shared
	maker   *maker       // what makes it for each session, else nil
}

// ownerOf returns the owner that was given to a form of registration, and its
// type as given. what names it in problems.
func ownerOf(service, what string, given any) (of owner, t reflect.Type, problems []problem) {
	if f, ok := given.(Factory); ok && f.maker != nil {
		of.maker, t = f.maker, f.maker.typ
		switch of.methods = t; t.Kind() {
		case reflect.Interface:
			return of, t, []problem{{service, fmt.Sprintf("PerSession[%v]: an interface; name the type that is made", t)}}
		case reflect.Pointer:
		default:
			of.methods = reflect.PointerTo(t)
		}
		return of, t, nil
	}
	v := reflect.ValueOf(given)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return of, nil, []problem{{service, "nil " + what}}
	}
	if t = v.Type(); v.Kind() != reflect.Pointer {
		v = pointerTo(v) // once, so that its methods are called without another copy
	}
	of.methods, of.recv = v.Type(), receiverOf(v)
	return of, t, nil
}

// methodsOf compiles every exported method of a receiver.
func methodsOf(service string, rcvr any) (methods []*method, problems []problem) {
	of, t, problems := ownerOf(service, "receiver", rcvr)
	if problems == nil {
		problems = unfit(service, t)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for i := range of.methods.NumMethod() {
		m := of.methods.Method(i)
		if isClose(m) {
			continue
		}
		sig, more := compileSignature(service+"."+m.Name, m.Type, 1, new(codec.MethodTag))
		if problems = append(problems, more...); more == nil {
			served := newMethod(service, m.Name, sig, m.Func, of)
			served.from = fmt.Sprintf("as a method of %v", t)
			methods = append(methods, served)
		}
	}
	if len(methods) == 0 && len(problems) == 0 {
		problems = append(problems, problem{service, fmt.Sprintf("%v has no exported methods", t) + adviceForFuncs(t)})
	}
	return methods, problems
}

// adviceForFuncs says how a struct of funcs, which has no methods, is offered.
func adviceForFuncs(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.Field(0).Type.Kind() != reflect.Func {
		return ""
	}
	return fmt.Sprintf("; for its funcs use RegisterAs[%v] with a *%v", t, t)
}

// unfit says why the methods of a type cannot be offered as a service.
func unfit(service string, t reflect.Type) []problem {
	if path := foreignMethods(t, nil); path != "" {
		return []problem{{service, fmt.Sprintf("the embedded field %s adds its methods to the service; "+
			"give the field a name, or expose a contract with RegisterAs", path)}}
	}
	if t.Kind() == reflect.Pointer {
		return nil
	}
	pt := reflect.PointerTo(t)
	for i := range pt.NumMethod() {
		name := pt.Method(i).Name
		if _, ok := t.MethodByName(name); !ok && !isClose(pt.Method(i)) {
			return []problem{{service + "." + name, fmt.Sprintf("needs a *%v; pass a pointer", t)}}
		}
	}
	return nil
}

// foreignMethods returns the path of an embedded field whose type is another
// package's and has exported methods, "" if there is none. around is what t is
// embedded in: a type may embed a pointer to itself.
func foreignMethods(t reflect.Type, around []reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(around, t) {
		return ""
	}
	around = append(around, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		ft := f.Type
		if ft.Kind() != reflect.Pointer && ft.Kind() != reflect.Interface {
			ft = reflect.PointerTo(ft)
		}
		if owner := f.Type; ft.NumMethod() > 0 && packageOf(owner) != packageOf(t) {
			return f.Name + " (" + f.Type.String() + ")"
		}
		if path := foreignMethods(f.Type, around); path != "" && packageOf(f.Type) == packageOf(t) {
			return f.Name + "." + path
		}
	}
	return ""
}

func packageOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// isClose says whether m is Close() or Close() error, which end a receiver and
// are nobody's to call.
func isClose(m reflect.Method) bool {
	t := m.Type
	return m.Name == "Close" && t.NumIn() == 1 && (t.NumOut() == 0 || t.NumOut() == 1 && t.Out(0) == errorType)
}

// methodsAs compiles the methods of impl that a contract names.
func methodsAs(service string, contract reflect.Type, impl any) (methods []*method, problems []problem) {
	if isFuncsOf(contract, reflect.TypeOf(impl)) {
		return methodsOfFuncs(service, reflect.ValueOf(impl))
	}
	of, t, problems := ownerOf(service, "implementation", impl)
	if len(problems) > 0 {
		return nil, problems
	}
	var wanted []contractMethod
	switch contract.Kind() {
	case reflect.Struct:
		if text := unfitFuncs(contract, of, t); text != "" {
			return nil, []problem{{service, text}}
		}
		wanted, problems = contractOf(service, contract)
	case reflect.Interface:
		if wanted, problems = interfaceContract(service, contract, reflect.Zero(t)); len(problems) > 0 {
			return nil, problems
		}
	default:
		return nil, []problem{{service, notContract(contract, "want a struct of funcs, or an interface")}}
	}
	for _, w := range wanted {
		path := service + "." + w.goName
		if _, ok := t.MethodByName(w.goName); !ok {
			problems = append(problems, missingMethod(path, w.goName, t))
			continue
		}
		m, _ := of.methods.MethodByName(w.goName)
		if text := fits(m.Type, w.typ); text != "" {
			problems = append(problems, problem{path, text})
			continue
		}
		served, more := serveAs(service, w, m.Func, of)
		if problems = append(problems, more...); more == nil {
			served.from = fmt.Sprintf("by RegisterAs[%v] with a %v", contract, t)
			methods = append(methods, served)
		}
	}
	return methods, problems
}

// serveAs makes the method of a contract that fn is.
func serveAs(service string, w contractMethod, fn reflect.Value, of owner) (*method, []problem) {
	sig, problems := compileSignature(service+"."+w.goName, w.typ, 0, w.tag)
	if problems != nil {
		return nil, problems
	}
	served := newMethod(service, w.name, sig, fn, of)
	served.id, served.exclusive = w.tag.ID, w.tag.Exclusive
	return served, nil
}

// isFuncsOf says whether t is a pointer to a struct contract: an implementation
// by the contract's own funcs.
func isFuncsOf(contract, t reflect.Type) bool {
	return contract.Kind() == reflect.Struct && t == reflect.PointerTo(contract)
}

// methodsOfFuncs makes methods of the funcs of a contract, as they are now.
func methodsOfFuncs(service string, impl reflect.Value) (methods []*method, problems []problem) {
	if impl.IsNil() {
		return nil, []problem{{service, "nil implementation"}}
	}
	wanted, problems := contractOf(service, impl.Type().Elem())
	for _, w := range wanted {
		field := impl.Elem().FieldByIndex(w.index)
		if field.IsNil() {
			problems = append(problems, problem{service + "." + w.goName, fmt.Sprintf("nil func; set %s of the %v before it is registered, or leave it out of the contract",
				fieldPath(impl.Type().Elem(), w.index), impl.Type())})
			continue
		}
		fn := reflect.ValueOf(field.Interface()) // a copy: the field may be set again
		served, more := serveAs(service, w, fn, owner{})
		if problems = append(problems, more...); more == nil {
			served.from = fmt.Sprintf("by RegisterAs with a %v", impl.Type())
			methods = append(methods, served)
		}
	}
	return methods, problems
}

// unfitFuncs says why the funcs of a contract are not taken as its
// implementation, "" if t is not made of them.
func unfitFuncs(contract reflect.Type, of owner, t reflect.Type) string {
	switch {
	case t != contract && !isFuncsOf(contract, t):
		return ""
	case of.maker != nil:
		return fmt.Sprintf("PerSession[%v]: a struct of funcs serves all sessions; make a type with methods, or pass a *%v", t, contract)
	}
	return fmt.Sprintf("a %v by value; pass a *%v", t, t)
}

// interfaceContract returns the methods of an interface, which impl must
// implement as Go means it.
func interfaceContract(service string, contract reflect.Type, impl reflect.Value) (methods []contractMethod, problems []problem) {
	for i := range contract.NumMethod() {
		m := contract.Method(i)
		path := service + "." + m.Name
		if !m.IsExported() {
			problems = append(problems, problem{path, "not exported; a contract has exported methods and nothing else"})
		} else if have := impl.MethodByName(m.Name); !have.IsValid() {
			problems = append(problems, missingMethod(path, m.Name, impl.Type()))
		} else if have.Type() != m.Type {
			problems = append(problems, problem{path, fmt.Sprintf("the contract has %v, the implementation %v", m.Type, have.Type())})
		}
		methods = append(methods, contractMethod{goName: m.Name, name: m.Name, typ: m.Type, tag: &codec.MethodTag{ID: -1}})
	}
	if len(methods) == 0 {
		problems = append(problems, problem{service, fmt.Sprintf("%v has no methods; a contract names those to offer", contract)})
	}
	return methods, problems
}

func missingMethod(path, name string, t reflect.Type) problem {
	if t.Kind() != reflect.Pointer {
		if _, ok := reflect.PointerTo(t).MethodByName(name); ok {
			return problem{path, fmt.Sprintf("needs a *%v; pass a pointer", t)}
		}
	}
	return problem{path, fmt.Sprintf("%v has no such method", t) + adviceForFuncs(t)}
}

// fits says in words why a method (its receiver first) cannot serve a func of
// a contract, "" if it can: it may leave out context and error, and spread the
// last slice.
func fits(m, want reflect.Type) string {
	haveIn, haveOut := plainSignature(m, 1)
	needIn, needOut := plainSignature(want, 0)
	if slices.Equal(haveIn, needIn) && slices.Equal(haveOut, needOut) {
		return ""
	}
	return fmt.Sprintf("the contract takes %s and returns %s, the implementation takes %s and returns %s",
		typeList(needIn), typeList(needOut), typeList(haveIn), typeList(haveOut))
}

func typeList(types []reflect.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// plainSignature returns the parameters and results of a func without context
// and error.
func plainSignature(t reflect.Type, skip int) (in, out []reflect.Type) {
	if t.NumIn() > skip && t.In(skip) == contextType {
		skip++
	}
	for i := skip; i < t.NumIn(); i++ {
		in = append(in, t.In(i))
	}
	for i := range t.NumOut() {
		if i < t.NumOut()-1 || t.Out(i) != errorType {
			out = append(out, t.Out(i))
		}
	}
	return in, out
}

// serviceError is the error of everything that is wrong with one service, its
// name included; nil if nothing is.
func serviceError(doing, service string, problems []problem) error {
	if err := validService(service); err != nil {
		problems = append([]problem{{"service name", err.Error()}}, problems...)
		service = strconv.Quote(cut(service, 64))
	}
	if len(problems) == 0 {
		return nil
	}
	return problemsError(doing+" "+service, problems)
}

func problemsError(doing string, problems []problem) error {
	var b strings.Builder
	fmt.Fprintf(&b, "bsrpc: %s: %s", doing, plural(len(problems), "problem"))
	for _, p := range problems {
		b.WriteString("\n    " + p.String())
	}
	return errors.New(b.String())
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
