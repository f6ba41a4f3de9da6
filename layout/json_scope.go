package layout

// A jsonScope follows the back references of a layout. A reference counts the composites around it,
// so the scope has them all, and at a reference goes back to those around the target. Both
// directions, and the paths of secrets, follow a layout by it.
type jsonScope struct {
	enclosing []*Type // composites around the current type, outermost first
	depth     int     // of nested slices, maps, pointers and unions
	maxDepth  int
}

// resolve returns the target of l if it is a back reference, or else l, and what to restore
// enclosing to after it.
func (s *jsonScope) resolve(l *Type) (target *Type, before []*Type) {
	before = s.enclosing
	if l.Kind == BackRef && l.Len <= len(before) {
		at := len(before) - l.Len
		s.enclosing = before[:at:at] // those after at stay: appending makes a copy
		return before[at], before
	}
	return l, before
}

// enter adds l to enclosing. It reports false if that exceeds the depth. Structs and arrays do not
// count: a layout can nest them only so often before one of the others.
func (s *jsonScope) enter(l *Type) bool {
	s.enclosing = append(s.enclosing, l)
	if l.Kind == Slice || l.Kind == Map || l.Kind == Pointer || l.Kind == Union {
		s.depth++
	}
	return s.depth <= s.maxDepth
}

// leave undoes enter.
func (s *jsonScope) leave(l *Type) {
	s.enclosing = s.enclosing[:len(s.enclosing)-1]
	if l.Kind == Slice || l.Kind == Map || l.Kind == Pointer || l.Kind == Union {
		s.depth--
	}
}

// isPointer reports whether l, a part of the innermost enclosing type, is a pointer, or a back
// reference to one.
func (s *jsonScope) isPointer(l *Type) bool {
	l, before := s.resolve(l)
	s.enclosing = before
	return l.Kind == Pointer
}
