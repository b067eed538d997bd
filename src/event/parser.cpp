#include "event/parser.hpp"

#include <algorithm>

#include "event/lexer.hpp"

namespace nestgate::event {
namespace {

using detail::ChainKind;
using detail::Comparator;
using detail::Node;
using detail::NodeKind;

// How strongly a token binds what is left of it; the numbers order them, as the grammar wants it.
constexpr unsigned binding_of(TokenKind kind) noexcept {
  switch (kind) {
    case TokenKind::pipe: return 1;
    case TokenKind::either: return 2;
    case TokenKind::both: return 3;
    case TokenKind::equal:
    case TokenKind::not_equal:
    case TokenKind::less:
    case TokenKind::less_equal:
    case TokenKind::greater:
    case TokenKind::greater_equal: return 5;
    case TokenKind::flatten: return 9;
    case TokenKind::star: return 20;
    case TokenKind::filter: return 21;
    case TokenKind::dot: return 40;
    case TokenKind::negation: return 45;
    case TokenKind::left_brace: return 50;
    case TokenKind::left_bracket: return 55;
    case TokenKind::left_parenthesis: return 60;
    default: return 0;
  }
}
// What binds less ends a projection.
constexpr unsigned projection_ends_below = 10;

constexpr Comparator comparator_of(TokenKind kind) noexcept {
  switch (kind) {
    case TokenKind::not_equal: return Comparator::not_equal;
    case TokenKind::less: return Comparator::less;
    case TokenKind::less_equal: return Comparator::less_equal;
    case TokenKind::greater: return Comparator::greater;
    case TokenKind::greater_equal: return Comparator::greater_equal;
    default: return Comparator::equal;
  }
}

constexpr bool is_identifier(TokenKind kind) noexcept {
  return kind == TokenKind::unquoted_identifier || kind == TokenKind::quoted_identifier;
}

// A Pratt parser: `prefix` reads what may begin an expression, `infix` what may follow one.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Parsed<Node> run() {
    NESTGATE_TRY(root, expression(0));
    if (kind() != TokenKind::end) return unexpected();
    return std::move(root);
  }

 private:
  Token const& token() const { return tokens_[at_]; }
  TokenKind kind() const { return token().kind; }
  // Beyond the last token there are only ends.
  TokenKind kind_after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)].kind; }
  Token const& take() {
    Token const& taken = token();
    if (at_ + 1 < tokens_.size()) ++at_;
    return taken;
  }
  bool take_if(TokenKind wanted) {
    if (kind() != wanted) return false;
    take();
    return true;
  }
  SyntaxFault unexpected() const { return syntax_fault("Unexpected token", token()); }
  Parsed<void> require(TokenKind wanted) {
    if (!take_if(wanted)) return unexpected();
    return {};
  }

  // Every node passes here, so that none gets too deep for whoever walks the tree.
  Parsed<Node> made(Node node) const {
    for (auto const& child : node.children) node.depth = std::max(node.depth, child.depth + 1);
    if (node.depth > Expression::depth_max) return SyntaxFault{"Expression nested too deeply"};
    return node;
  }
  Parsed<Node> made(NodeKind kind, std::vector<Node> children) const {
    Node node;
    node.kind = kind;
    node.children = std::move(children);
    return made(std::move(node));
  }
  template <class... Nodes>
  Parsed<Node> made_of(NodeKind kind, Nodes... nodes) const {
    std::vector<Node> children;
    (children.push_back(std::move(nodes)), ...);
    return made(kind, std::move(children));
  }
  // `left` takes `right` in where it is of the same kind already: chains of any length stay flat.
  Parsed<Node> joined(NodeKind kind, ChainKind chain, Node left, Node right) const {
    if (left.kind == kind && left.chain == chain) {
      left.depth = std::max(left.depth, right.depth + 1);
      if (left.depth > Expression::depth_max) return SyntaxFault{"Expression nested too deeply"};
      left.children.push_back(std::move(right));
      return left;
    }
    NESTGATE_TRY(node, made_of(kind, std::move(left), std::move(right)));
    node.chain = chain;
    return std::move(node);
  }

  Parsed<Node> expression(unsigned binding) {
    if (++nesting_ > Expression::depth_max) return SyntaxFault{"Expression nested too deeply"};
    NESTGATE_TRY(left, prefix());
    while (binding < binding_of(kind())) {
      NESTGATE_TRY(next, infix(std::move(left)));
      left = std::move(next);
    }
    --nesting_;
    return std::move(left);
  }

  Parsed<Node> prefix() {
    switch (kind()) {
      case TokenKind::literal: return literal();
      case TokenKind::unquoted_identifier:
      case TokenKind::quoted_identifier: return field();
      case TokenKind::current: take(); return Node();
      case TokenKind::star: take(); return value_projection(Node(), binding_of(TokenKind::star));
      case TokenKind::filter: take(); return filter(Node());
      case TokenKind::flatten: take(); return flatten(Node());
      case TokenKind::left_brace: take(); return hash();
      case TokenKind::left_bracket: take(); return bracket();
      case TokenKind::left_parenthesis: take(); return parenthesis();
      case TokenKind::negation: take(); return negation();
      case TokenKind::reference: take(); return reference();
      default: return unexpected();
    }
  }

  Parsed<Node> infix(Node left) {
    auto const operation = kind();
    switch (operation) {
      case TokenKind::dot: take(); return dot(std::move(left));
      case TokenKind::pipe: return binary(NodeKind::chain, ChainKind::pipe, std::move(left));
      case TokenKind::either: return binary(NodeKind::either, ChainKind::none, std::move(left));
      case TokenKind::both: return binary(NodeKind::both, ChainKind::none, std::move(left));
      case TokenKind::left_parenthesis: return call(std::move(left));
      case TokenKind::filter: take(); return filter(std::move(left));
      case TokenKind::flatten: take(); return flatten(std::move(left));
      case TokenKind::left_bracket: take(); return bracket_after(std::move(left));
      case TokenKind::equal:
      case TokenKind::not_equal:
      case TokenKind::less:
      case TokenKind::less_equal:
      case TokenKind::greater:
      case TokenKind::greater_equal: return comparison(std::move(left));
      default: return unexpected();
    }
  }

  Parsed<Node> literal() {
    Node node;
    node.kind = NodeKind::literal;
    node.literal = take().literal;
    return node;
  }

  Parsed<Node> field() {
    bool const quoted = kind() == TokenKind::quoted_identifier;
    Node node;
    node.kind = NodeKind::field;
    node.name = take().name;
    if (quoted && kind() == TokenKind::left_parenthesis)
      return syntax_fault("Quoted identifier not allowed for function names:", token());
    return node;
  }

  Parsed<Node> parenthesis() {
    NESTGATE_TRY(inside, expression(0));
    NESTGATE_TRY_VOID(require(TokenKind::right_parenthesis));
    return std::move(inside);
  }

  Parsed<Node> negation() {
    NESTGATE_TRY(operand, expression(binding_of(TokenKind::negation)));
    return made_of(NodeKind::negation, std::move(operand));
  }

  // What it refers to is a value, which may outlive the tree.
  Parsed<Node> reference() {
    NESTGATE_TRY(operand, expression(binding_of(TokenKind::reference)));
    Node node;
    node.kind = NodeKind::literal;
    node.depth = operand.depth + 1;
    node.literal = Value::expression(std::make_shared<Node const>(std::move(operand)));
    return made(std::move(node));
  }

  Parsed<Node> binary(NodeKind kind, ChainKind chain, Node left) {
    auto const binding = binding_of(take().kind);
    NESTGATE_TRY(right, expression(binding));
    return joined(kind, chain, std::move(left), std::move(right));
  }

  Parsed<Node> comparison(Node left) {
    auto const operation = take().kind;
    NESTGATE_TRY(right, expression(binding_of(operation)));
    NESTGATE_TRY(node, made_of(NodeKind::comparison, std::move(left), std::move(right)));
    node.comparator = comparator_of(operation);
    return std::move(node);
  }

  Parsed<Node> dot(Node left) {
    if (take_if(TokenKind::star)) return value_projection(std::move(left), binding_of(TokenKind::dot));
    NESTGATE_TRY(right, after_dot(binding_of(TokenKind::dot)));
    return joined(NodeKind::chain, ChainKind::dot, std::move(left), std::move(right));
  }

  Parsed<Node> after_dot(unsigned binding) {
    if (is_identifier(kind()) || kind() == TokenKind::star) return expression(binding);
    if (take_if(TokenKind::left_bracket)) return list();
    if (take_if(TokenKind::left_brace)) return hash();
    return unexpected();
  }

  // What is asked of each element; nothing more where the projection ends here.
  Parsed<Node> projected(unsigned binding) {
    if (binding_of(kind()) < projection_ends_below) return Node();
    if (kind() == TokenKind::left_bracket || kind() == TokenKind::filter) return expression(binding);
    if (take_if(TokenKind::dot)) return after_dot(binding);
    return unexpected();
  }

  Parsed<Node> projection(NodeKind kind, Node base, unsigned binding) {
    NESTGATE_TRY(each, projected(binding));
    return made_of(kind, std::move(base), std::move(each));
  }

  Parsed<Node> value_projection(Node base, unsigned binding) {
    return projection(NodeKind::value_projection, std::move(base), binding);
  }

  Parsed<Node> flatten(Node base) {
    NESTGATE_TRY(flat, made_of(NodeKind::flatten, std::move(base)));
    return projection(NodeKind::projection, std::move(flat), binding_of(TokenKind::flatten));
  }

  Parsed<Node> filter(Node base) {
    NESTGATE_TRY(condition, expression(0));
    NESTGATE_TRY_VOID(require(TokenKind::right_bracket));
    Node each;
    if (kind() != TokenKind::flatten) {
      NESTGATE_TRY(wanted, projected(binding_of(TokenKind::filter)));
      each = std::move(wanted);
    }
    return made_of(NodeKind::filter, std::move(base), std::move(each), std::move(condition));
  }

  Parsed<Node> bracket() {
    if (kind() == TokenKind::number || kind() == TokenKind::colon) return index_of(Node());
    if (kind() == TokenKind::star && kind_after() == TokenKind::right_bracket) return star_of(Node());
    return list();
  }

  Parsed<Node> bracket_after(Node left) {
    if (kind() == TokenKind::number || kind() == TokenKind::colon) return index_of(std::move(left));
    return star_of(std::move(left));
  }

  Parsed<Node> star_of(Node left) {
    NESTGATE_TRY_VOID(require(TokenKind::star));
    NESTGATE_TRY_VOID(require(TokenKind::right_bracket));
    return projection(NodeKind::projection, std::move(left), binding_of(TokenKind::star));
  }

  Parsed<Node> index_of(Node left) {
    bool const sliced = kind() == TokenKind::colon || kind_after() == TokenKind::colon;
    // jmespath.py: a slice right after an index is of what the index found, but projects nothing.
    bool const follows_index = left.kind == NodeKind::chain && left.chain == ChainKind::index;
    NESTGATE_TRY(selected, sliced ? slice() : index());
    NESTGATE_TRY(chain, joined(NodeKind::chain, ChainKind::index, std::move(left), std::move(selected)));
    if (!sliced || follows_index) return std::move(chain);
    return projection(NodeKind::projection, std::move(chain), binding_of(TokenKind::star));
  }

  Parsed<Node> index() {
    Node node;
    node.kind = NodeKind::index;
    node.number = take().number;
    NESTGATE_TRY_VOID(require(TokenKind::right_bracket));
    return node;
  }

  Parsed<Node> slice() {
    Node node;
    node.kind = NodeKind::slice;
    std::size_t part = 0;
    while (kind() != TokenKind::right_bracket) {
      if (kind() == TokenKind::number)
        node.bounds[part] = token().number;
      else if (kind() != TokenKind::colon || ++part == node.bounds.size())
        return unexpected();
      take();
    }
    take();
    return node;
  }

  Parsed<Node> list() {
    std::vector<Node> items;
    do {
      NESTGATE_TRY(item, expression(0));
      items.push_back(std::move(item));
    } while (take_if(TokenKind::comma));
    NESTGATE_TRY_VOID(require(TokenKind::right_bracket));
    return made(NodeKind::list, std::move(items));
  }

  // jmespath.py does not insist on the commas between members.
  Parsed<Node> hash() {
    Node node;
    node.kind = NodeKind::hash;
    do {
      if (!is_identifier(kind())) return unexpected();
      node.names.push_back(take().name);
      NESTGATE_TRY_VOID(require(TokenKind::colon));
      NESTGATE_TRY(value, expression(0));
      node.children.push_back(std::move(value));
    } while (take_if(TokenKind::comma) || !take_if(TokenKind::right_brace));
    return made(std::move(node));
  }

  // Nor between arguments.
  Parsed<Node> call(Node left) {
    if (left.kind != NodeKind::field) return syntax_fault("Invalid function name before", token());
    take();
    Node node;
    node.kind = NodeKind::call;
    node.name = std::move(left.name);
    while (!take_if(TokenKind::right_parenthesis)) {
      NESTGATE_TRY(argument, expression(0));
      node.children.push_back(std::move(argument));
      take_if(TokenKind::comma);
    }
    return made(std::move(node));
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t nesting_ = 0;
};

}  // namespace

Parsed<Node> parse_expression(std::string_view text) {
  if (text.empty()) return SyntaxFault{"Expression is empty"};
  if (text.size() > Expression::text_bytes_max) return SyntaxFault{"Expression is too long"};
  NESTGATE_TRY(tokens, tokenize(text));
  return Parser(std::move(tokens)).run();
}

}  // namespace nestgate::event
