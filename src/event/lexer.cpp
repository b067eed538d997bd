#include "event/lexer.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

namespace nestgate::event {
namespace {

// A literal is part of an expression, whose own limit bounds it.
constexpr DocumentLimits literal_limits{.bytes_max = 2 * Expression::text_bytes_max, .depth_max = Expression::depth_max};

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_identifier_start(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_identifier(char c) noexcept { return is_identifier_start(c) || is_digit(c); }
constexpr bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::optional<TokenKind> simple_token(char c) noexcept {
  switch (c) {
    case '.': return TokenKind::dot;
    case '*': return TokenKind::star;
    case ']': return TokenKind::right_bracket;
    case ',': return TokenKind::comma;
    case ':': return TokenKind::colon;
    case '@': return TokenKind::current;
    case '(': return TokenKind::left_parenthesis;
    case ')': return TokenKind::right_parenthesis;
    case '{': return TokenKind::left_brace;
    case '}': return TokenKind::right_brace;
    default: return std::nullopt;
  }
}

// Takes the backslash off each `\delimiter`; all other backslashes stay.
std::string without_escapes_of(char delimiter, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == delimiter) ++i;
    out.push_back(text[i]);
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Parsed<std::vector<Token>> run() {
    while (at_ < text_.size()) {
      if (is_space(text_[at_])) {
        ++at_;
        continue;
      }
      token_ = Token{.start = at_};
      if (auto fault = take()) return std::move(*fault);
      token_.text = text_.substr(token_.start, at_ - token_.start);
      tokens_.push_back(std::move(token_));
    }
    tokens_.push_back(Token{.start = at_});
    return std::move(tokens_);
  }

 private:
  using Failed = std::optional<SyntaxFault>;

  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  Failed fault(std::string_view what) const {
    return SyntaxFault{std::string(what) + " at column " + std::to_string(token_.start)};
  }

  Failed take() {
    char const c = text_[at_];
    if (auto const simple = simple_token(c)) return take_one(*simple);
    if (is_identifier_start(c)) return take_identifier();
    if (is_digit(c) || c == '-') return take_number();
    switch (c) {
      case '"': return take_quoted_identifier();
      case '\'': return take_raw_string();
      case '`': return take_literal();
      case '[': return take_bracket();
      case '|': return take_pair('|', TokenKind::either, TokenKind::pipe);
      case '&': return take_pair('&', TokenKind::both, TokenKind::reference);
      case '<': return take_pair('=', TokenKind::less_equal, TokenKind::less);
      case '>': return take_pair('=', TokenKind::greater_equal, TokenKind::greater);
      case '!': return take_pair('=', TokenKind::not_equal, TokenKind::negation);
      case '=':
        take_one(TokenKind::equal);
        if (!next_is('=')) return fault("Unknown token '='");
        ++at_;
        return std::nullopt;
      default: return fault("Unknown token");
    }
  }

  Failed take_one(TokenKind kind) {
    token_.kind = kind;
    ++at_;
    return std::nullopt;
  }

  Failed take_pair(char second, TokenKind both, TokenKind alone) {
    ++at_;
    if (next_is(second)) return take_one(both);
    token_.kind = alone;
    return std::nullopt;
  }

  Failed take_bracket() {
    ++at_;
    if (next_is(']')) return take_one(TokenKind::flatten);
    if (next_is('?')) return take_one(TokenKind::filter);
    token_.kind = TokenKind::left_bracket;
    return std::nullopt;
  }

  Failed take_identifier() {
    token_.kind = TokenKind::unquoted_identifier;
    while (at_ < text_.size() && is_identifier(text_[at_])) token_.name.push_back(text_[at_++]);
    return std::nullopt;
  }

  Failed take_number() {
    auto const start = at_++;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    auto const text = text_.substr(start, at_ - start);
    if (text == "-") return fault("Unknown token '-'");
    token_.kind = TokenKind::number;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), token_.number);
    using Limits = std::numeric_limits<std::int64_t>;
    if (error == std::errc::result_out_of_range) token_.number = text.front() == '-' ? Limits::min() : Limits::max();
    return std::nullopt;
  }

  // What stands up to the delimiter, backslashes and what they escape included.
  std::optional<std::string_view> take_delimited(char delimiter) {
    auto const start = ++at_;
    while (at_ < text_.size() && text_[at_] != delimiter) at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return std::nullopt;
    return text_.substr(start, at_++ - start);
  }

  Failed take_quoted_identifier() {
    token_.kind = TokenKind::quoted_identifier;
    auto const inside = take_delimited('"');
    if (!inside) return fault("Unclosed '\"' delimiter");
    auto const parsed = Value::parse('"' + std::string(*inside) + '"', literal_limits);
    if (!parsed || !parsed->is_string()) return fault("Bad escape in a quoted identifier");
    token_.name = parsed->as_string();
    return std::nullopt;
  }

  Failed take_raw_string() {
    token_.kind = TokenKind::literal;
    auto const inside = take_delimited('\'');
    if (!inside) return fault("Unclosed \"'\" delimiter");
    token_.literal = Value::string(without_escapes_of('\'', *inside));
    return std::nullopt;
  }

  // JSON; else, in the manner of JMESPath's first years, the inside of a JSON string.
  Failed take_literal() {
    token_.kind = TokenKind::literal;
    auto const inside = take_delimited('`');
    if (!inside) return fault("Unclosed '`' delimiter");
    auto const json = without_escapes_of('`', *inside);
    auto parsed = Value::parse(json, literal_limits);
    if (!parsed && parsed.error().kind == FaultKind::bad_input) {
      auto const start = std::min(json.find_first_not_of(" \t\n\r\v\f"), json.size());
      parsed = Value::parse('"' + json.substr(start) + '"', literal_limits);
    }
    if (!parsed) return fault("Bad literal");
    token_.literal = *parsed;
    return std::nullopt;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token token_;
  std::vector<Token> tokens_;
};

}  // namespace

Parsed<std::vector<Token>> tokenize(std::string_view text) { return Lexer(text).run(); }

SyntaxFault syntax_fault(std::string_view what, Token const& token) {
  auto const where = " at column " + std::to_string(token.start);
  if (token.kind == TokenKind::end) return {"Incomplete expression" + where};
  return {std::string(what) + " '" + std::string(token.text) + "'" + where};
}

}  // namespace nestgate::event
