#include "remote/utf8.h"

#include <cstddef>
#include <cstdint>

namespace outboxfs::remote {
namespace {

// The length of the sequence that `lead` begins, and the smallest code point it may hold.
struct Shape {
  size_t length;
  uint32_t least;
  uint32_t bits;
};

Shape ShapeOf(unsigned char lead) {
  if (lead < 0x80) return {1, 0, lead};
  if ((lead & 0xE0) == 0xC0) return {2, 0x80, lead & 0x1FU};
  if ((lead & 0xF0) == 0xE0) return {3, 0x800, lead & 0x0FU};
  if ((lead & 0xF8) == 0xF0) return {4, 0x10000, lead & 0x07U};
  return {0, 0, 0};
}

}  // namespace

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Shape shape = ShapeOf(static_cast<unsigned char>(text[at]));
    if (shape.length == 0 || shape.length > text.size() - at) return false;
    uint32_t point = shape.bits;
    for (size_t i = 1; i < shape.length; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xC0) != 0x80) return false;
      point = (point << 6) | (next & 0x3FU);
    }
    if (point < shape.least || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
      return false;
    }
    at += shape.length;
  }
  return true;
}

}  // namespace outboxfs::remote
