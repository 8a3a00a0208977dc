// Compares the compiled descriptors with wire_contract.txt, in both directions: what the table says
// must be declared exactly so, and nothing may be declared that the table does not know.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "clouddrive.pb.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;

using Lines = std::set<std::string>;

struct Table {
  Lines facts;                                   // every line, fields and values with their owner
  std::map<std::string, std::set<int>> omitted;  // message -> numbers that must stay free
};

Table ReadTable() {
  Table table;
  std::ifstream in(WIRE_CONTRACT_FILE);
  EXPECT_TRUE(in.is_open()) << WIRE_CONTRACT_FILE;
  std::string line;
  std::string owner;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string kind;
    std::string name;
    words >> kind >> name;
    if (kind == "message" || kind == "enum") owner = name;
    if (kind == "omitted") {
      int number = 0;
      words >> number;
      table.omitted[owner].insert(number);
    } else if (kind == "field" || kind == "value") {
      table.facts.insert(owner + ": " + line);
    } else {
      table.facts.insert(line);
    }
  }
  return table;
}

// Names of this package are written without it.
std::string Short(const std::string& full_name) {
  const std::string package = "clouddrive.";
  return full_name.starts_with(package) ? full_name.substr(package.size()) : full_name;
}

std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    const Descriptor* entry = field.message_type();
    return "map<" + TypeOf(*entry->map_key()) + "," + TypeOf(*entry->map_value()) + ">";
  }
  if (field.message_type() != nullptr) return Short(field.message_type()->full_name());
  if (field.enum_type() != nullptr) return Short(field.enum_type()->full_name());
  return field.type_name();
}

std::string LabelOf(const FieldDescriptor& field) {
  if (field.is_map()) return "map";
  if (field.is_repeated()) return "repeated";
  if (field.has_optional_keyword()) return "optional";
  if (field.real_containing_oneof() != nullptr) {
    return "oneof:" + field.real_containing_oneof()->name();
  }
  return "singular";
}

void Describe(const EnumDescriptor& type, Lines* lines) {
  const std::string name = Short(type.full_name());
  lines->insert("enum " + name);
  for (int i = 0; i < type.value_count(); ++i) {
    lines->insert(name + ": value " + type.value(i)->name() + " " +
                  std::to_string(type.value(i)->number()));
  }
}

void Describe(const Descriptor& type, Lines* lines) {
  const std::string name = Short(type.full_name());
  lines->insert("message " + name);
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    lines->insert(name + ": field " + field.name() + " " + std::to_string(field.number()) + " " +
                  TypeOf(field) + " " + LabelOf(field));
  }
  for (int i = 0; i < type.enum_type_count(); ++i) Describe(*type.enum_type(i), lines);
}

std::string Describe(const MethodDescriptor& rpc) {
  return "rpc " + rpc.name() + " " + (rpc.client_streaming() ? "stream " : "") +
         Short(rpc.input_type()->full_name()) + " " + (rpc.server_streaming() ? "stream " : "") +
         Short(rpc.output_type()->full_name());
}

const FileDescriptor& File() { return *clouddrive::StringValue::descriptor()->file(); }

Lines DescribeFile() {
  Lines lines;
  for (int i = 0; i < File().message_type_count(); ++i) Describe(*File().message_type(i), &lines);
  for (int i = 0; i < File().enum_type_count(); ++i) Describe(*File().enum_type(i), &lines);
  for (int i = 0; i < File().service_count(); ++i) {
    for (int j = 0; j < File().service(i)->method_count(); ++j) {
      lines.insert(Describe(*File().service(i)->method(j)));
    }
  }
  return lines;
}

TEST(WireContract, IsProto3InTheServersPackageWithTheOneService) {
  EXPECT_EQ(File().syntax(), FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(File().package(), "clouddrive");
  ASSERT_EQ(File().service_count(), 1);
  EXPECT_EQ(File().service(0)->full_name(), "clouddrive.CloudDriveFileSrv");
}

TEST(WireContract, EveryFactOfTheTableIsDeclaredExactlySo) {
  const Table table = ReadTable();
  const Lines declared = DescribeFile();
  ASSERT_GT(table.facts.size(), 300U);
  for (const std::string& fact : table.facts) EXPECT_TRUE(declared.contains(fact)) << fact;
}

TEST(WireContract, NothingIsDeclaredThatTheTableDoesNotKnow) {
  const Table table = ReadTable();
  for (const std::string& line : DescribeFile()) EXPECT_TRUE(table.facts.contains(line)) << line;
}

TEST(WireContract, NumbersOfFieldsThatWeLeaveOutStayFree) {
  const Table table = ReadTable();
  ASSERT_FALSE(table.omitted.empty());
  for (const auto& [message, numbers] : table.omitted) {
    const Descriptor* type = File().FindMessageTypeByName(message);
    ASSERT_NE(type, nullptr) << message;
    for (int number : numbers) {
      EXPECT_EQ(type->FindFieldByNumber(number), nullptr) << message << " " << number;
      EXPECT_TRUE(type->IsReservedNumber(number)) << message << " " << number;
    }
  }
}

TEST(WireContract, AReadAnswerHasTheKnownBytesOnTheWire) {
  clouddrive::RemoteReadDataUpload piece;
  piece.set_upload_id("u");
  piece.set_offset(1);
  piece.set_length(2);
  piece.set_lazy_read(true);
  piece.set_data("ab");
  piece.set_is_last_chunk(true);
  const std::vector<uint8_t> expected = {0x0a, 1,    'u', 0x18, 1,   0x20, 2, 0x28,
                                         1,    0x32, 2,   'a',  'b', 0x38, 1};
  const std::string wire = piece.SerializeAsString();
  EXPECT_EQ(std::vector<uint8_t>(wire.begin(), wire.end()), expected);
}

}  // namespace
