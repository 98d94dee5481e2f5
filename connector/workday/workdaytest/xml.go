package workdaytest

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// node is an element of a request.
type node struct {
	name  xml.Name
	attrs []xml.Attr
	nodes []*node
	text  string
}

// parse reads a document whole: encoding/xml into structs would pass over what it does not know.
func parse(r io.Reader) (*node, error) {
	decoder := xml.NewDecoder(r)
	top := &node{}
	open := []*node{top}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		in := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: t.Name}
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					n.attrs = append(n.attrs, a)
				}
			}
			in.nodes = append(in.nodes, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			in.text += string(t)
		case xml.ProcInst:
			if t.Target != "xml" {
				return nil, errors.New("a processing instruction")
			}
		default:
			return nil, errors.New("a comment or a directive")
		}
	}
	if len(top.nodes) != 1 {
		return nil, errors.New("not one document")
	}
	return top.nodes[0], nil
}

// is checks a node: its name, its attributes and what is in it, in the order of the description. A name without ? must be
// there, and one with * may be there many times. Names are written with the prefix of their namespace.
func (n *node) is(name string, attrs, nodes []string) error {
	if got := short(n.name); got != name {
		return errors.New("there is " + got + " where " + name + " should be")
	}
	var has []string
	for _, a := range n.attrs {
		has = append(has, short(a.Name))
	}
	slices.Sort(has)
	if err := fits(has, attrs, name+"/@"); err != nil {
		return err
	}
	has = nil
	for _, c := range n.nodes {
		has = append(has, short(c.name))
	}
	if len(has) > 0 && strings.TrimSpace(n.text) != "" {
		return errors.New("there is text in " + name)
	}
	return fits(has, nodes, name+"/")
}

func fits(has, want []string, where string) error {
	for _, w := range want {
		w, optional := strings.CutSuffix(w, "?")
		w, many := strings.CutSuffix(w, "*")
		if !optional && (len(has) == 0 || has[0] != w) {
			return errors.New(where + w + " is missing")
		}
		for n := 0; len(has) > 0 && has[0] == w && (n == 0 || many); n++ {
			has = has[1:]
		}
	}
	if len(has) > 0 {
		return errors.New(where + has[0] + " is unknown, or in the wrong place")
	}
	return nil
}

// short writes a name with the prefix that its namespace has in this package.
func short(name xml.Name) string {
	prefix, known := map[string]string{
		"": "",
		"http://schemas.xmlsoap.org/soap/envelope/":                                         "env:",
		"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd": "wsse:",
		"urn:com.workday/bsvc": "wd:",
	}[name.Space]
	if !known {
		prefix = "{" + name.Space + "}"
	}
	return prefix + name.Local
}

// child is the first node of that name, nil if there is none.
func (n *node) child(name string) *node {
	for _, c := range n.nodes {
		if short(c.name) == name {
			return c
		}
	}
	return nil
}

// attr is an attribute's value, and whether it is there.
func (n *node) attr(name string) (string, bool) {
	for _, a := range n.attrs {
		if short(a.Name) == name {
			return a.Value, true
		}
	}
	return "", false
}

// The elements of answers.

type answer struct {
	XMLName  xml.Name              `xml:"env:Envelope"`
	Env      string                `xml:"xmlns:env,attr"`
	Services string                `xml:"xmlns:wd,attr"`
	Body     struct{ Content any } `xml:"env:Body"`
}

type faultAnswer struct {
	XMLName    xml.Name     `xml:"env:Fault"`
	Code       string       `xml:"faultcode"`
	Text       string       `xml:"faultstring"`
	Validation []validation `xml:"detail>wd:Validation_Fault>wd:Validation_Error,omitempty"`
	Processing string       `xml:"detail>wd:Processing_Fault>wd:Detail_Message,omitempty"`
}

type validation struct {
	Message string `xml:"wd:Message"`
	Detail  string `xml:"wd:Detail_Message"`
	Path    string `xml:"wd:Xpath"`
}

type reference struct {
	Descriptor string `xml:"wd:Descriptor,attr,omitempty"`
	IDs        []id   `xml:"wd:ID"`
}

type id struct {
	Type  string `xml:"wd:type,attr"`
	Value string `xml:",chardata"`
}

type getAnswer struct {
	XMLName xml.Name `xml:"wd:Get_Skills_Response"`
	Version string   `xml:"wd:version,attr"`
	Filter  struct {
		Moment string `xml:"wd:As_Of_Entry_DateTime,omitempty"`
		Page   int    `xml:"wd:Page"`
		Count  int    `xml:"wd:Count"`
	} `xml:"wd:Response_Filter"`
	Results struct {
		All      int `xml:"wd:Total_Results"`
		Pages    int `xml:"wd:Total_Pages"`
		OnPage   int `xml:"wd:Page_Results"`
		ThisPage int `xml:"wd:Page"`
	} `xml:"wd:Response_Results"`
	Skills []skillAnswer `xml:"wd:Response_Data>wd:Skill,omitempty"`
}

type skillAnswer struct {
	Reference reference `xml:"wd:Skill_Reference"`
	Data      *data     `xml:"wd:Skill_Data"`
	data
}

type putAnswer struct {
	XMLName   xml.Name  `xml:"wd:Put_Skill_Response"`
	Version   string    `xml:"wd:version,attr"`
	Reference reference `xml:"wd:Skill_Reference"`
	data
}

type data struct {
	NameAttribute     string     `xml:"wd:Name,attr,omitempty"`
	InactiveAttribute *int       `xml:"wd:Inactive,attr"`
	Category          *reference `xml:"wd:Category_Reference"`
	ID                string     `xml:"wd:ID,omitempty"`
	Hidden            string     `xml:"wd:Hide_from_Candidates,omitempty"`
	Name              string     `xml:"wd:Name,omitempty"`
	ItemCategory      *reference `xml:"wd:Skill_Item_Category_Reference"`
	Inactive          *int       `xml:"wd:Inactive"`
}
